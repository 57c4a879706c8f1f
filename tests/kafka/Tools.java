import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.Method;
import java.util.Arrays;

/** Runs Kafka's own command-line tools in one process: a line of standard input is a class and its arguments, between tabs. */
public final class Tools {
    public static void main(String[] none) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split("\t");
            Method main = Class.forName(words[0]).getMethod("main", String[].class);
            // A tool that fails ends this process.
            main.invoke(null, (Object) Arrays.copyOfRange(words, 1, words.length));
            System.out.println("\nDONE");
            System.out.flush();
        }
    }
}
