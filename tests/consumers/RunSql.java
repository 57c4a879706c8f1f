import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;

/** Runs the statements of a file in Flink's mini cluster, as its SQL client would in batch mode, and prints the rows of the last one. */
public final class RunSql {
    public static void main(String[] arguments) throws Exception {
        TableEnvironment tables = TableEnvironment.create(EnvironmentSettings.inBatchMode());
        TableResult last = null;
        for (String statement : Files.readString(Path.of(arguments[0])).split(";")) {
            if (!statement.isBlank()) {
                last = tables.executeSql(statement);
            }
        }
        try (CloseableIterator<Row> rows = last.collect()) {
            rows.forEachRemaining(row -> System.out.println("row " + row.getField(0) + " " + row.getField(1)));
        }
    }
}
