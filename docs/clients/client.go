// go run client.go http://localhost:8080/ocr page.jpg
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
)

type answer struct {
	ErrorCode int    `json:"errorCode"`
	ErrorMsg  string `json:"errorMsg"`
	Result    struct {
		Pages []struct {
			Pruned struct {
				Texts []string `json:"rec_texts"`
			} `json:"prunedResult"`
		} `json:"ocrResults"`
	} `json:"result"`
}

func main() {
	picture, err := os.ReadFile(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{"file": picture, "visualize": false}) // []byte becomes base64
	if err != nil {
		log.Fatal(err)
	}
	response, err := http.Post(os.Args[1], "application/json", bytes.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	var got answer
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil {
		log.Fatal(err)
	}
	if got.ErrorCode != 0 {
		log.Fatal(got.ErrorMsg)
	}
	for _, page := range got.Result.Pages {
		fmt.Println(strings.Join(page.Pruned.Texts, "\n"))
	}
}
