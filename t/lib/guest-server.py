# The HTTP server that tests run in guests, or in place of one:
# guest-server.py PORT [ADDRESS].
#
#   /hello             "hello"
#   /status?CODE       an answer with this status
#   /hop               "hello", with headers of one connection
#   /origin            "hello", with headers that concern all of an origin
#   /big?BYTES         a download
#   /rest?BYTES        a download that ends with the connection
#   /cookie?BYTES      "hello", with a cookie of so many
#   /events?SECONDS    server-sent events, one each 0.1 s or as said, for ever
#   /lines             each byte of the body as it comes, in upper case
#   /sleep?SECONDS     is answered as any other path after that
#   /once              likewise, but the first time not within ten minutes
#   /hang-up, /cut     no answer, and a part of one
#   /noise             bytes that are no answer
#   /ws                a WebSocket that gives back what it gets
#   /switch?PROTOCOL   101 to this protocol, whatever was asked for
#   /busy?HOST         how many requests for this host are being answered
#   any other path     the request as JSON, with the digest of its body

import base64, collections, hashlib, http.server, json, struct, sys
import threading, time

seen = set()
busy, lock = collections.Counter(), threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 0

    def log_message(self, *args):
        pass

    def head(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def answer(self, status, body, **headers):
        if status not in (204, 304):
            headers["Content_Length"] = str(len(body))
        self.head(status, **headers)
        if self.command != "HEAD" and status not in (204, 304):
            self.wfile.write(body)

    def body(self):
        if self.headers.get("Transfer-Encoding"):
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        left = int(self.headers.get("Content-Length") or 0)
        while left and (data := self.rfile.read(min(left, 65536))):
            left -= len(data)
            yield data

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def echo(self):
        digest, n = hashlib.sha256(), 0
        for data in self.body():
            digest.update(data)
            n += len(data)
        text = json.dumps({
            "method": self.command, "path": self.path, "length": n,
            "sha256": digest.hexdigest(),
            "connection": self.client_address[1],
            "client": self.client_address[0],
            "headers": {k.lower(): v for k, v in self.headers.items()}})
        self.answer(200, text.encode(), Content_Type="application/json")

    def count(self, n):
        with lock:
            busy[self.headers.get("Host")] += n

    def do_GET(self):
        self.count(1)
        try:
            self.route()
        finally:
            self.count(-1)

    def route(self):
        path, _, query = self.path.partition("?")
        if path == "/hello":
            self.answer(200, b"hello\n", Content_Type="text/plain")
        elif path == "/hop":
            self.answer(200, b"hello\n", Upgrade="h2c", Keep_Alive="timeout=5",
                        Proxy_Connection="keep-alive", X_Guest="yes")
        elif path == "/origin":
            self.answer(200, b"hello\n", Service_Worker_Allowed="/",
                        Clear_Site_Data='"*"', Alt_Svc='h2="elsewhere:443"',
                        Strict_Transport_Security="max-age=1",
                        NEL='{"report_to":"a","max_age":1}', Report_To="{}",
                        Reporting_Endpoints='a="/a"', Accept_CH="DPR",
                        Set_Cookie="a=b", X_Guest="yes")
        elif path == "/cookie":
            self.answer(200, b"hello\n", Set_Cookie="c=" + "x" * int(query))
        elif path == "/status":
            self.answer(int(query), b"from the guest", X_Guest="yes",
                        WWW_Authenticate="Guest")
        elif path == "/big":
            self.head(200, Content_Length=query)
            n, block = int(query), b"0123456789abcdef" * 4096
            while n:
                self.wfile.write(block[:n])
                n -= min(n, len(block))
        elif path == "/rest":
            self.head(200, Connection="close")
            self.wfile.write(b"x" * int(query))
            self.close_connection = True
        elif path == "/events":
            self.head(200, Content_Type="text/event-stream",
                      Transfer_Encoding="chunked")
            for i in range(10**9):
                self.chunk(b"data: %d\n\n" % i)
                time.sleep(float(query or 0.1))
        elif path == "/lines":
            self.head(200, Transfer_Encoding="chunked")
            for i in range(int(self.headers["Content-Length"])):
                self.chunk(self.rfile.read(1).upper())
            self.chunk(b"")
        elif path == "/hang-up":
            self.close_connection = True
        elif path == "/noise":
            self.wfile.write(b"no answer\r\n\r\n" * 1000)
            self.close_connection = True
        elif path == "/cut":
            self.head(200, Content_Length="100")
            self.wfile.write(b"x")
            self.close_connection = True
        elif path == "/ws":
            self.websocket()
        elif path == "/busy":
            self.answer(200, b"%d" % busy[query])
        elif path == "/switch":
            self.head(101, Upgrade=query, Connection="Upgrade")
            time.sleep(5)
            self.close_connection = True
        else:
            if path == "/once" and path not in seen:
                seen.add(path)
                time.sleep(600)
            if path == "/sleep":
                time.sleep(float(query))
            self.echo()

    do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = do_GET

    def websocket(self):
        key = self.headers["Sec-WebSocket-Key"].encode()
        key += b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        key = base64.b64encode(hashlib.sha1(key).digest()).decode()
        self.head(101, Upgrade="websocket", Connection="Upgrade",
                  Sec_WebSocket_Accept=key)
        self.close_connection = True
        while len(head := self.rfile.read(2)) == 2:
            n = head[1] & 127
            if n == 126:
                n, = struct.unpack("!H", self.rfile.read(2))
            elif n == 127:
                n, = struct.unpack("!Q", self.rfile.read(8))
            mask = self.rfile.read(4)
            data = bytes(a ^ b for a, b in
                         zip(self.rfile.read(n), mask * (n // 4 + 1)))
            op = head[0] & 15
            size = (bytes([n]) if n < 126 else b"\x7e" + struct.pack("!H", n)
                    if n < 65536 else b"\x7f" + struct.pack("!Q", n))
            self.wfile.write(bytes([0x80 | (10 if op == 9 else op)]) + size
                             + data)
            if op == 8:
                return


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


Server((sys.argv[2] if sys.argv[2:] else "", int(sys.argv[1])),
       Handler).serve_forever()
