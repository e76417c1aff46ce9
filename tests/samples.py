"""Requests as clients really send them, for tests and benchmarks: `SAMPLES` is name -> bytes."""

#: What curl sends.
HELLO = b"GET / HTTP/1.1\r\nHost: localhost:8000\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n"

#: A page asked for by a browser: 15 fields.
BROWSER = (
    b"GET /shop/items/42?ref=home&page=2 HTTP/1.1\r\n"
    b"Host: www.example.com\r\n"
    b"Connection: keep-alive\r\n"
    b'sec-ch-ua: "Chromium";v="124", "Google Chrome";v="124", "Not-A.Brand";v="99"\r\n'
    b"sec-ch-ua-mobile: ?0\r\n"
    b'sec-ch-ua-platform: "Linux"\r\n'
    b"Upgrade-Insecure-Requests: 1\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    b"Chrome/124.0.0.0 Safari/537.36\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n"
    b"Sec-Fetch-Site: same-origin\r\n"
    b"Sec-Fetch-Mode: navigate\r\n"
    b"Sec-Fetch-Dest: document\r\n"
    b"Referer: https://www.example.com/\r\n"
    b"Accept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Accept-Language: en-US,en;q=0.9\r\n"
    b"Cookie: sid=0123456789abcdef0123456789abcdef; theme=dark\r\n"
    b"\r\n"
)

#: A call of a web API behind a proxy, with names that the tables do not hold and a body.
API = (
    b"POST /api/v1/orders/caf%C3%A9?dry_run=1 HTTP/1.1\r\n"
    b"Host: api.example.com\r\n"
    b"X-Forwarded-For: 203.0.113.7\r\n"
    b"X-Forwarded-Proto: https\r\n"
    b"X-Tenant-Shard: eu-7\r\n"
    b"X-Idempotency-Token: 6c1f0e2a\r\n"
    b"Authorization: Bearer abc.def.ghi\r\n"
    b"Content-Type: application/json\r\n"
    b"Content-Length: 15\r\n"
    b"\r\n"
    b'{"quantity": 3}'
)

#: An upload of unknown length.
CHUNKED = (
    b"PUT /files/report.bin HTTP/1.1\r\n"
    b"Host: files.example.com\r\n"
    b"Transfer-Encoding: chunked\r\n"
    b"Trailer: X-Checksum\r\n"
    b"\r\n"
    b"5\r\nhello\r\n"
    b'7;name="v"\r\n, world\r\n'
    b"0\r\nX-Checksum: 77\r\n\r\n"
)

SAMPLES = {"hello": HELLO, "browser": BROWSER, "api": API, "chunked": CHUNKED}
