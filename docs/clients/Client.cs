// dotnet run -- http://localhost:8080/ocr page.jpg   (.NET 6 or newer, no packages)
using System.Net.Http.Json;
using System.Text.Json;

var file = Convert.ToBase64String(File.ReadAllBytes(args[1]));
using var client = new HttpClient();
var response = await client.PostAsJsonAsync(args[0], new { file, visualize = false });
var answer = await response.Content.ReadFromJsonAsync<JsonElement>();
if (answer.GetProperty("errorCode").GetInt32() != 0)
    throw new Exception(answer.GetProperty("errorMsg").GetString());
foreach (var page in answer.GetProperty("result").GetProperty("ocrResults").EnumerateArray())
    foreach (var text in page.GetProperty("prunedResult").GetProperty("rec_texts").EnumerateArray())
        Console.WriteLine(text.GetString());
