import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Iterator;
import org.apache.rocketmq.tools.command.MQAdminStartup;

/**
 * Runs mqadmin commands one after the other in one JVM, since starting a JVM costs far more than a command. Each input
 * line is one command, its arguments separated by tabs; each answer is one line: all that the command printed, base64.
 */
public class Admin extends MQAdminStartup {
    public static void main(String[] args) {
        PrintStream answers = System.out;
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (Iterator<String> lines = commands.lines().iterator(); lines.hasNext(); ) {
            ByteArrayOutputStream printed = new ByteArrayOutputStream();
            PrintStream capture = new PrintStream(printed, true, StandardCharsets.UTF_8);
            System.setOut(capture);
            System.setErr(capture);
            SUB_COMMANDS.clear(); // some commands can run only once
            MQAdminStartup.main(lines.next().split("\t", -1));
            capture.flush();
            answers.println(Base64.getEncoder().encodeToString(printed.toByteArray()));
            answers.flush();
        }
        System.exit(0); // client threads that are not daemons must not keep the JVM alive
    }
}
