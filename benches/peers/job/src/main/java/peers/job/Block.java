package peers.job;

/** What a window, or a whole life, holds of a customer. */
final class Block {
    int placed;
    int returnedOrders;
    long gross;
    /** Of the orders, at most what each came to. */
    long refunded;
    /** What was given back beyond that. */
    long excess;

    void takeAll(Customer customer) {
        placed = customer.placed;
        returnedOrders = customer.returnedOrders;
        gross = customer.gross;
        refunded = customer.refunded - customer.unattributed;
        excess = customer.excess;
    }

    void clear() {
        placed = returnedOrders = 0;
        gross = refunded = excess = 0;
    }

    /** Adds an order of the customer's ledger. */
    void add(Customer customer, int order) {
        long amount = customer.orderAmount(order);
        long refunds = customer.orderRefunds(order);
        placed++;
        returnedOrders += customer.isGivenBack(order) ? 1 : 0;
        gross += amount;
        refunded += Math.min(amount, refunds);
        excess += Math.max(0, refunds - amount);
    }
}
