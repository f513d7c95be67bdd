// g++ -O2 client.cpp -lcurl -o client && ./client http://localhost:8080/ocr page.jpg   (libcurl; prints the JSON)
#include <curl/curl.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    std::ifstream file(argv[2], std::ios::binary);
    const std::string body((std::istreambuf_iterator<char>(file)), {});
    CURL* curl = curl_easy_init();
    if (!curl || body.empty()) return 1;
    // the file itself as the body, so that no base64 is needed; options go into the address
    curl_slist* headers = curl_slist_append(nullptr, "Content-Type: application/octet-stream");
    curl_easy_setopt(curl, CURLOPT_URL, (std::string(argv[1]) + "?visualize=false").c_str());
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    const CURLcode code = curl_easy_perform(curl);  // writes the answer to standard output
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return code == CURLE_OK && status == 200 ? 0 : 1;
}
