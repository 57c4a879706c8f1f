package peers.tool;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

/**
 * What benches/compare cannot do itself: everything that speaks to Kafka. Commands come as lines on standard input, one at a time,
 * {@code name key=value ...}; each is answered by any number of {@code progress} lines and one {@code ok} or {@code failed} line.
 * It lives as long as its input, so that one warm process serves a whole run.
 */
public final class Tool {
    private final String servers;
    private final BlockingQueue<String> commands = new LinkedBlockingQueue<>();

    private Tool(String servers) {
        this.servers = servers;
    }

    public static void main(String[] arguments) throws Exception {
        Tool tool = new Tool(arguments[0]);
        Thread reader = new Thread(tool::read, "commands");
        reader.setDaemon(true);
        reader.start();
        try (Topics topics = new Topics(arguments[0])) {
            for (String line = tool.commands.take(); !line.equals("end"); line = tool.commands.take()) {
                tool.answer(topics, line);
            }
        }
    }

    private void read() {
        try (BufferedReader input =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            for (String line = input.readLine(); line != null; line = input.readLine()) {
                commands.add(line);
            }
        } catch (java.io.IOException error) {
            System.err.println("standard input broke: " + error);
        }
        commands.add("end");
    }

    private void answer(Topics topics, String line) {
        try {
            String[] words = line.trim().split(" ");
            Map<String, String> options = new HashMap<>();
            for (int index = 1; index < words.length; index++) {
                String[] parts = words[index].split("=", 2);
                options.put(parts[0], parts[1]);
            }
            say("ok " + carryOut(topics, words[0], new Options(options)));
        } catch (Exception error) {
            error.printStackTrace();
            say("failed " + error);
        }
    }

    private String carryOut(Topics topics, String name, Options options) throws Exception {
        switch (name) {
            case "ready":
                return topics.await(options.number("partitions", 0));
            case "create":
                return topics.create(options);
            case "delete":
                return topics.delete(List.of(options.text("topics").split(",")));
            case "size":
                return topics.size(List.of(options.text("topics").split(",")));
            case "load":
                return new Loader(servers, options).load();
            case "lines":
                return Lines.load(servers, options);
            case "more":
                return new Loader(servers, options).more();
            case "watch":
                return new Watch(topics, commands, options).run();
            case "live":
                return new Live(servers, options).run();
            case "dump":
                return Dump.run(servers, options);
            case "cancel":
                return "nothing to cancel";
            default:
                throw new IllegalArgumentException("unknown command " + name);
        }
    }

    static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }
}
