import java.io.BufferedWriter;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A server of a herd in plain Java, as a good student would write it from the course's text: one
 * thread, java.nio, and only the JDK.
 *
 * <pre>java Herd.java NAME HERD_FILE</pre>
 *
 * It is complete: IAMAT, WHATSAT, AT, invalid commands, flooding over persistent connections that are
 * dialled again when they break, and a log.
 */
public final class Herd {
    private static final Pattern LOCATION =
            Pattern.compile("([+-]\\d{1,2}(?:\\.\\d+)?)([+-]\\d{1,3}(?:\\.\\d+)?)");
    private static final Pattern TIME = Pattern.compile("(\\d{1,9}|\\d{10})(?:\\.(\\d{1,9}))?");
    private static final Pattern NUMBER = Pattern.compile("\\d+(?:\\.\\d+)?");

    private record Known(long time, String line) {}

    /** A reply in the queue of a connection. Its text is null while it waits for Places. */
    private static final class Reply {
        String text;
    }

    private final class Connection {
        final SocketChannel channel;
        final StringBuilder rest = new StringBuilder();
        final ArrayDeque<Reply> waiting = new ArrayDeque<>();
        final String dialled;
        SelectionKey key;
        String origin;
        ByteBuffer output = ByteBuffer.allocate(1024);
        boolean ended;
        boolean dirty;

        Connection(SocketChannel channel, String dialled) {
            this.channel = channel;
            this.dialled = dialled;
        }

        void write(String text) {
            byte[] bytes = text.getBytes(StandardCharsets.ISO_8859_1);
            if (output.remaining() < bytes.length) {
                ByteBuffer larger = ByteBuffer.allocate(2 * (output.position() + bytes.length));
                output.flip();
                output = larger.put(output);
            }
            output.put(bytes);
            if (!dirty) {
                dirty = true;
                toFlush.add(this);
            }
        }

        /** Sends all replies before the first one that waits. */
        void moveOn() {
            while (!waiting.isEmpty() && waiting.peek().text != null) write(waiting.poll().text);
            if (ended && waiting.isEmpty() && !dirty) close(this);
        }

        void flush() throws IOException {
            dirty = false;
            output.flip();
            channel.write(output);
            output.compact();
            key.interestOps(output.position() > 0 ? SelectionKey.OP_READ | SelectionKey.OP_WRITE : SelectionKey.OP_READ);
            if (ended && waiting.isEmpty() && output.position() == 0) close(this);
        }
    }

    private final String name;
    private final int port;
    private final String places;
    private final Map<String, Integer> neighbours = new HashMap<>();
    private final Map<String, Connection> links = new HashMap<>();
    private final Map<String, Known> known = new HashMap<>();
    private final List<Connection> toFlush = new ArrayList<>();
    private final ConcurrentLinkedQueue<Runnable> answers = new ConcurrentLinkedQueue<>();
    private final HttpClient http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    private final BufferedWriter logFile;
    private final Selector selector = Selector.open();

    private Herd(String name, Path file) throws IOException {
        this.name = name;
        // The JDK has no JSON parser, so this parses only the needed parts of a herd file.
        String text = Files.readString(file);
        Matcher servers = Pattern.compile(
                "\"([^\"]+)\": \\{ \"listen\": \"[^\"]*:(\\d+)\".*?\"talks_to\": \\[([^\\]]*)\\]").matcher(text);
        Map<String, Integer> ports = new HashMap<>();
        Map<String, String> talksTo = new HashMap<>();
        while (servers.find()) {
            ports.put(servers.group(1), Integer.valueOf(servers.group(2)));
            talksTo.put(servers.group(1), servers.group(3));
        }
        port = ports.get(name);
        for (String other : ports.keySet()) {
            if (talksTo.get(other).contains('"' + name + '"') || talksTo.get(name).contains('"' + other + '"')) {
                neighbours.put(other, ports.get(other));
            }
        }
        Matcher url = Pattern.compile("\"url\": \"([^\"]*)\"").matcher(text);
        places = url.find() ? url.group(1) : "";
        Path folder = file.resolveSibling("logs");
        Files.createDirectories(folder);
        logFile = Files.newBufferedWriter(
                folder.resolve(name + ".log"), StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }

    private void log(String text) {
        try {
            logFile.write(System.currentTimeMillis() + " " + name + " " + text + "\n");
        } catch (IOException error) {
            System.err.println(error);
        }
    }

    private static long nanoseconds(String text) {
        Matcher match = TIME.matcher(text);
        if (!match.matches()) return -1;
        String fraction = match.group(2) == null ? "" : match.group(2);
        return Long.parseLong(match.group(1)) * 1_000_000_000L + Long.parseLong((fraction + "000000000").substring(0, 9));
    }

    private void store(String client, long time, String line, String origin) {
        Known before = known.get(client);
        if (before != null && before.time >= time) return;
        known.put(client, new Known(time, line));
        links.forEach((neighbour, link) -> {
            if (!neighbour.equals(origin)) {
                link.write(line);
                log("sent to server " + neighbour + " '" + line.stripTrailing() + "'");
            }
        });
    }

    private String iamat(String client, String location, String sent) {
        Matcher place = LOCATION.matcher(location);
        long time = nanoseconds(sent);
        if (!place.matches() || time < 0) return null;
        if (Math.abs(Double.parseDouble(place.group(1))) > 90) return null;
        if (Math.abs(Double.parseDouble(place.group(2))) > 180) return null;
        Instant now = Instant.now();
        long skew = now.getEpochSecond() * 1_000_000_000L + now.getNano() - time;
        long size = Math.abs(skew);
        String digits = Long.toString(1_000_000_000L + size % 1_000_000_000L).substring(1);
        String line = "AT " + name + " " + (skew < 0 ? "-" : "+") + size / 1_000_000_000L + "." + digits + " "
                + client + " " + location + " " + sent + "\n";
        store(client, time, line, null);
        return line;
    }

    private boolean whatsat(Connection connection, String client, String radius, String bound) {
        Known record = known.get(client);
        if (record == null || !NUMBER.matcher(radius).matches() || !bound.matches("\\d{1,2}")) return false;
        if (Double.parseDouble(radius) > 50 || Integer.parseInt(bound) > 20) return false;
        Matcher place = LOCATION.matcher(record.line.split(" ")[4]);
        if (!place.matches()) return false;
        String url = places + "/maps/api/place/nearbysearch/json?location=" + place.group(1).replace("+", "") + ","
                + place.group(2).replace("+", "") + "&radius=" + Double.parseDouble(radius) * 1000 + "&key=none";
        Reply reply = new Reply();
        connection.waiting.add(reply);
        http.sendAsync(HttpRequest.newBuilder(URI.create(url)).build(), HttpResponse.BodyHandlers.ofString())
                .handle((response, error) -> {
                    String json = error == null && response.statusCode() == 200
                            ? cut(response.body(), Integer.parseInt(bound))
                            : "{\"html_attributions\":[],\"results\":[],\"status\":\"UNKNOWN_ERROR\"}";
                    answers.add(() -> {
                        reply.text = record.line + json.replaceAll("\n\n+", "\n").strip() + "\n\n";
                        log("sent to client '" + record.line.stripTrailing() + "' and JSON");
                        connection.moveOn();
                    });
                    selector.wakeup();
                    return null;
                });
        return true;
    }

    /** Returns the answer with at most {@code bound} results; a text without results unchanged. */
    private static String cut(String json, int bound) {
        int start = json.indexOf('[', json.indexOf("\"results\""));
        int depth = 0;
        int results = 0;
        int keep = start + 1;
        boolean quoted = false;
        for (int at = start; at >= 0 && at < json.length(); at++) {
            char each = json.charAt(at);
            if (quoted) {
                if (each == '\\') at++;
                else if (each == '"') quoted = false;
            } else if (each == '"') {
                quoted = true;
            } else if (each == '{' || each == '[') {
                depth++;
            } else if (each == '}' || each == ']') {
                depth--;
                if (depth == 0) return json.substring(0, keep) + json.substring(at);
                if (depth == 1 && ++results <= bound) keep = at + 1;
            }
        }
        return json;
    }

    private void line(Connection connection, String line) {
        String[] fields = line.strip().split("[ \\t\\r\\f\\x0b]+");
        if (fields[0].isEmpty()) return;
        if (fields[0].equals("PEER")) {
            connection.origin = fields[1];
            log("New connection from server " + fields[1] + " was made");
            return;
        }
        log("received '" + line.strip() + "'");
        String text = null;
        if (fields.length == 4 && fields[0].equals("IAMAT")) {
            text = iamat(fields[1], fields[2], fields[3]);
        } else if (fields.length == 4 && fields[0].equals("WHATSAT")) {
            if (whatsat(connection, fields[1], fields[2], fields[3])) return;
        } else if (fields.length == 6 && fields[0].equals("AT") && connection.origin != null) {
            long time = nanoseconds(fields[5]);
            if (time >= 0) store(fields[3], time, line + "\n", connection.origin);
            return;
        }
        if (text == null) text = "? " + line.strip() + "\n";
        log("sent to client '" + text.stripTrailing() + "'");
        if (connection.waiting.isEmpty()) {
            connection.write(text);
        } else {
            Reply reply = new Reply();
            reply.text = text;
            connection.waiting.add(reply);
        }
    }

    private void read(Connection connection, ByteBuffer buffer) throws IOException {
        buffer.clear();
        int length = connection.channel.read(buffer);
        if (length > 0) {
            connection.rest.append(new String(buffer.array(), 0, length, StandardCharsets.ISO_8859_1));
            int start = 0;
            for (int end; (end = connection.rest.indexOf("\n", start)) >= 0; start = end + 1) {
                line(connection, connection.rest.substring(start, end));
            }
            connection.rest.delete(0, start);
        } else if (length < 0) {
            if (connection.dialled != null) {
                close(connection);
                return;
            }
            if (connection.rest.length() > 0) line(connection, connection.rest.toString());
            connection.ended = true;
            connection.key.interestOps(0);
            connection.moveOn();
        }
    }

    private void close(Connection connection) {
        try {
            connection.channel.close();
        } catch (IOException error) {
            log("A connection could not be closed: " + error);
        }
        if (connection.dialled != null && links.remove(connection.dialled, connection)) {
            log("Connection to server " + connection.dialled + " was dropped");
        }
    }

    private void add(SocketChannel channel, Connection connection, int interest) throws IOException {
        channel.configureBlocking(false);
        channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
        connection.key = channel.register(selector, interest, connection);
    }

    private void dialNeighbours() throws IOException {
        for (Map.Entry<String, Integer> neighbour : neighbours.entrySet()) {
            if (links.containsKey(neighbour.getKey())) continue;
            SocketChannel channel = SocketChannel.open();
            try {
                channel.connect(new InetSocketAddress("127.0.0.1", neighbour.getValue()));
            } catch (IOException error) {
                channel.close();
                continue;
            }
            Connection link = new Connection(channel, neighbour.getKey());
            add(channel, link, SelectionKey.OP_READ);
            links.put(neighbour.getKey(), link);
            link.write("PEER " + name + "\n");
            log("New connection to server " + neighbour.getKey() + " was made");
        }
    }

    private void run() throws IOException {
        ServerSocketChannel listener = ServerSocketChannel.open();
        listener.bind(new InetSocketAddress("127.0.0.1", port), 1024);
        listener.configureBlocking(false);
        listener.register(selector, SelectionKey.OP_ACCEPT);
        ByteBuffer buffer = ByteBuffer.allocate(64 * 1024);
        long housekeeping = 0;
        while (true) {
            selector.select(100);
            long now = System.nanoTime();
            if (now - housekeeping > Duration.ofMillis(100).toNanos()) {
                housekeeping = now;
                dialNeighbours();
                logFile.flush();
            }
            for (Runnable answer; (answer = answers.poll()) != null; ) answer.run();
            for (SelectionKey key : selector.selectedKeys()) {
                if (key.isValid() && key.isAcceptable()) {
                    for (SocketChannel channel; (channel = listener.accept()) != null; ) {
                        add(channel, new Connection(channel, null), SelectionKey.OP_READ);
                    }
                    continue;
                }
                Connection connection = (Connection) key.attachment();
                try {
                    if (key.isValid() && key.isReadable()) read(connection, buffer);
                    if (key.isValid() && key.isWritable()) connection.flush();
                } catch (IOException error) {
                    close(connection);
                }
            }
            selector.selectedKeys().clear();
            for (Connection connection : toFlush) {
                try {
                    if (connection.channel.isOpen()) connection.flush();
                } catch (IOException error) {
                    close(connection);
                }
            }
            toFlush.clear();
        }
    }

    public static void main(String[] words) throws IOException {
        new Herd(words[0], Path.of(words[1])).run();
    }
}
