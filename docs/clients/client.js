// node client.js http://localhost:8080/ocr page.jpg   (Node 18 or newer, no packages)
const { readFileSync } = require("node:fs");

async function main([address, path]) {
  const body = JSON.stringify({ file: readFileSync(path).toString("base64"), visualize: false });
  const response = await fetch(address, { method: "POST", headers: { "Content-Type": "application/json" }, body });
  const answer = await response.json();
  if (answer.errorCode !== 0) throw new Error(answer.errorMsg);
  for (const page of answer.result.ocrResults) console.log(page.prunedResult.rec_texts.join("\n"));
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
