package peers.job;

/** What a window, or a whole life, holds of a customer. */
final class Block {
    int placed;
    int returnedOrders;
    long gross;
    /** Of the orders. */
    long refunded;

    void takeAll(Customer customer) {
        placed = customer.placed;
        returnedOrders = customer.returnedOrders;
        gross = customer.gross;
        refunded = customer.refunded - customer.unattributed;
    }

    void clear() {
        placed = returnedOrders = 0;
        gross = refunded = 0;
    }

    /** Adds an order of the customer's ledger. */
    void add(Customer customer, int order) {
        placed++;
        returnedOrders += customer.isGivenBack(order) ? 1 : 0;
        gross += customer.orderAmount(order);
        refunded += customer.orderRefunds(order);
    }
}
