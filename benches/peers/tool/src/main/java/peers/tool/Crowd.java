package peers.tool;

import java.util.SplittableRandom;

/** Who buys next: everyone alike, or by Zipf's law (customer n in proportion to 1/n). */
final class Crowd {
    private final SplittableRandom random;
    private final int customers;
    private final boolean isZipf;
    private final double areaLeft;
    private final double areaRight;

    Crowd(String skew, int customers, long seed) {
        if (!skew.equals("uniform") && !skew.equals("zipf")) {
            throw new IllegalArgumentException("skew is uniform or zipf, not " + skew);
        }
        random = new SplittableRandom(seed);
        this.customers = customers;
        isZipf = skew.equals("zipf");
        areaLeft = Math.log(1.5) - 1;
        areaRight = Math.log(customers + 0.5);
    }

    /** From 0. By rejection from the area under 1/x (Hörmann and Derflinger), so no table of customers is needed. */
    int next() {
        if (!isZipf) {
            return random.nextInt(customers);
        }
        while (true) {
            double area = areaRight + random.nextDouble() * (areaLeft - areaRight);
            double x = Math.exp(area);
            long rank = Math.max(1, Math.min(customers, (long) (x + 0.5)));
            if (area >= Math.log(rank + 0.5) - 1.0 / rank) {
                return (int) rank - 1;
            }
        }
    }
}
