// java Client.java http://localhost:8080/ocr page.jpg   (Java 11 or newer, no libraries; prints the JSON)
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;

public class Client {
    public static void main(String[] args) throws Exception {
        String file = Base64.getEncoder().encodeToString(Files.readAllBytes(Path.of(args[1])));
        HttpRequest request = HttpRequest.newBuilder(URI.create(args[0]))
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString("{\"file\":\"" + file + "\",\"visualize\":false}"))
                .build();
        HttpResponse<String> answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        System.out.println(answer.body());
        System.exit(answer.statusCode() == 200 ? 0 : 1);
    }
}
