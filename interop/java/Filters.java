import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.apache.rocketmq.broker.filter.MessageEvaluationContext;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.filter.expression.BooleanExpression;
import org.apache.rocketmq.filter.parser.SelectorParser;

/**
 * Says what SQL92 conditions come to. Each input line is a condition and a property string, separated by a tab, with
 * \0 \1 \2 \t \n \r \f and \\ for characters that cannot stand there; each answer is one of TRUE, FALSE, NULL, ERROR (an
 * exception) and INVALID (the condition does not parse).
 */
public class Filters {
    public static void main(String[] args) throws Exception {
        PrintStream answers = new PrintStream(System.out, false, "UTF-8");
        BufferedReader cases = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = cases.readLine(); line != null; line = cases.readLine()) {
            String[] fields = line.split("\t", -1);
            answers.println(result(unescape(fields[0]), unescape(fields[1])));
        }
        answers.flush();
    }

    static String result(String condition, String properties) {
        BooleanExpression parsed;
        try {
            parsed = SelectorParser.parse(condition);
        } catch (Exception e) {
            return "INVALID";
        }
        try {
            Object value = parsed.evaluate(new MessageEvaluationContext(MessageDecoder.string2messageProperties(properties)));
            return value == null ? "NULL" : value.toString().toUpperCase();
        } catch (Exception e) {
            return "ERROR";
        }
    }

    static String unescape(String text) {
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c != '\\') {
                out.append(c);
                continue;
            }
            c = text.charAt(++i);
            int at = "012tnrf".indexOf(c);
            out.append(at < 0 ? c : "\0\u0001\u0002\t\n\r\f".charAt(at));
        }
        return out.toString();
    }
}
