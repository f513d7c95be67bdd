"""python client.py http://localhost:8080/ocr page.jpg"""

import base64
import json
import sys
import urllib.request
from pathlib import Path

address, path = sys.argv[1:3]
body = json.dumps({"file": base64.b64encode(Path(path).read_bytes()).decode("ascii"), "visualize": False}).encode()
request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
with urllib.request.urlopen(request, timeout=120) as answer:
    for page in json.load(answer)["result"]["ocrResults"]:
        print("\n".join(page["prunedResult"]["rec_texts"]))
