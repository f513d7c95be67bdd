<?php
// php client.php http://localhost:8080/ocr page.jpg
$body = json_encode(["file" => base64_encode(file_get_contents($argv[2])), "visualize" => false]);
$options = ["method" => "POST", "header" => "Content-Type: application/json", "content" => $body, "ignore_errors" => true];
$answer = json_decode(file_get_contents($argv[1], false, stream_context_create(["http" => $options])), true);
if ($answer["errorCode"] !== 0) {
    fwrite(STDERR, $answer["errorMsg"] . "\n");
    exit(1);
}
foreach ($answer["result"]["ocrResults"] as $page) {
    echo implode("\n", $page["prunedResult"]["rec_texts"]), "\n";
}
