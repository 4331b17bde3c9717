"""An object store for tests, on a free port of this machine: as much of S3 as pyarrow asks for.

moto is a larger one, and cannot be installed beside what the course is tested with: botocore wants an older
python-dateutil. Where it is there all the same, `COURSE_MOTO=1` runs the same tests on it.
"""

import hashlib
import io
import itertools
import os
import re
import threading
from email.utils import formatdate
from socketserver import ThreadingMixIn
from urllib.parse import parse_qs, quote
from urllib.request import Request, urlopen
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from xml.sax.saxutils import escape

MOTO = bool(os.environ.get("COURSE_MOTO"))
DENIED = b"<Error><Code>AccessDenied</Code><Message>AKIDSECRET may not</Message></Error>"


class Store:
    """Buckets, and the objects in them, as a WSGI application."""

    def __init__(self):
        self.buckets, self._parts, self._count = {}, {}, itertools.count()

    def __call__(self, environ, start_response):
        method, body = environ["REQUEST_METHOD"], _body(environ)
        bucket, _, name = _path(environ)[1:].partition("/")
        asked = {key: values[0] for key, values in parse_qs(environ["QUERY_STRING"], True).items()}
        status, headers, content = self._answer(method, bucket, name, asked, body, environ.get("HTTP_RANGE"))
        headers |= {"Content-Length": str(len(content)), "Last-Modified": formatdate(0, usegmt=True)}
        start_response(status, list(headers.items()))
        return [b"" if method == "HEAD" else content]

    def _answer(self, method, bucket, name, asked, body, part):
        objects = self.buckets.get(bucket)
        if method == "PUT" and not name:
            self.buckets[bucket] = {}
            return "200 OK", {}, b""
        if objects is None:
            return "404 Not Found", {}, b"<Error><Code>NoSuchBucket</Code></Error>"
        if not name:
            return self._of_bucket(method, bucket, objects, asked, body)
        if method == "POST" and "uploads" in asked:
            upload = f"upload{next(self._count)}"
            self._parts[upload] = {}
            return _xml("InitiateMultipartUploadResult", f"<UploadId>{upload}</UploadId>")
        if method == "POST":
            objects[name] = b"".join(found for _, found in sorted(self._parts.pop(asked["uploadId"]).items()))
            return _xml("CompleteMultipartUploadResult", _etag(objects[name]))
        if method == "PUT":
            if "uploadId" in asked:
                self._parts[asked["uploadId"]][int(asked["partNumber"])] = body
            else:
                objects[name] = body
            return "200 OK", {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}, b""
        if method == "DELETE":
            objects.pop(name, None)
            return "204 No Content", {}, b""
        if name not in objects:
            return "404 Not Found", {}, b"<Error><Code>NoSuchKey</Code></Error>"
        found = objects[name]
        if part is None:
            return "200 OK", {"Accept-Ranges": "bytes"}, found
        first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", part).groups())
        last = min(last, len(found) - 1)
        return (
            "206 Partial Content",
            {"Content-Range": f"bytes {first}-{last}/{len(found)}"},
            found[first : last + 1],
        )

    def _of_bucket(self, method, bucket, objects, asked, body):
        if method == "POST":  # deletes several
            for name in re.findall(r"<Key>(.*?)</Key>", body.decode()):
                objects.pop(name, None)
            return _xml("DeleteResult", "")
        if method == "HEAD":
            return "200 OK", {}, b""
        start = asked.get("prefix", "")
        listed = sorted(name for name in objects if name.startswith(start))
        after = asked.get("continuation-token", "")
        rows, folders = [], []
        for name in (name for name in listed if name > after):
            below, slash, _ = name[len(start) :].partition("/")
            if slash and asked.get("delimiter"):
                folders.append(f"{start}{below}/")
            else:
                rows.append(name)
        most = int(asked.get("max-keys", 1000))
        cut = len(rows) > most
        contents = "".join(
            f"<Contents><Key>{escape(name)}</Key><Size>{len(objects[name])}</Size>{_etag(objects[name])}"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for name in rows[:most]
        )
        common = "".join(
            f"<CommonPrefixes><Prefix>{escape(each)}</Prefix></CommonPrefixes>"
            for each in dict.fromkeys(folders)
        )
        more = f"<NextContinuationToken>{escape(rows[most - 1])}</NextContinuationToken>" if cut else ""
        count = len(rows[:most]) + len(set(folders))
        return _xml(
            "ListBucketResult",
            f"<Name>{bucket}</Name><Prefix>{escape(start)}</Prefix><KeyCount>{count}</KeyCount>{more}"
            f"<MaxKeys>{most}</MaxKeys><IsTruncated>{str(cut).lower()}</IsTruncated>{contents}{common}",
        )


class Server:
    """A store that listens; `refuses` says which requests it denies, beside all to the bucket `denied`."""

    def __init__(self):
        if MOTO:
            from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

            self._store = DomainDispatcherApplication(create_backend_app)
        self.reset()
        self._server = make_server("127.0.0.1", 0, self._answer, server_class=_Threads, handler_class=_Quiet)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def environment(self):
        """What tells Amazon's tools of this store."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "AKIDSECRET",
            "AWS_SECRET_ACCESS_KEY": "SECRET",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def make_bucket(self):
        """Make an empty bucket, called `bucket`."""
        self.reset()
        urlopen(Request(f"{self.url}/bucket", method="PUT")).close()
        self.requests.clear()

    def reset(self):
        """Forget all buckets and all requests."""
        self.requests, self.refuses = [], lambda method, path: False
        if MOTO:
            from moto.s3.models import s3_backends

            s3_backends.reset()
        else:
            self._store = Store()

    def _answer(self, environ, start_response):
        method, path = environ["REQUEST_METHOD"], _path(environ)
        self.requests.append((method, path))
        environ = _received(environ)
        if path.startswith("/denied") or self.refuses(method, path):
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            return [b"" if method == "HEAD" else DENIED]
        return self._store(environ, start_response)

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    @property
    def names(self):
        """What is in the bucket, as the store itself knows it, and not what folders leave behind."""
        if MOTO:
            from moto.s3.models import s3_backends

            (backends,) = s3_backends.values()
            names = backends["aws"].buckets["bucket"].keys
        else:
            names = self._store.buckets["bucket"]
        return sorted(name for name in names if not name.endswith("/"))


class _Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # answers whoever asks whether to go on

    def get_environ(self):
        return super().get_environ() | {"RAW_URI": self.path}  # which moto wants

    def log_message(self, *_):
        pass


def _path(environ):
    return environ["PATH_INFO"].encode("latin-1").decode()


def _received(environ):
    """Read what comes with a request, whose length may not be known beforehand."""
    stream, environ = environ["wsgi.input"], dict(environ)
    if environ.pop("HTTP_TRANSFER_ENCODING", "") == "chunked":
        body = _joined(stream)
    else:
        body = stream.read(int(environ.get("CONTENT_LENGTH") or 0))
    return environ | {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}


def _body(environ):
    """Return what came, freed of the sizes that Amazon's client writes between its pieces."""
    streamed = environ.get("HTTP_X_AMZ_CONTENT_SHA256", "").startswith("STREAMING")
    return _joined(environ["wsgi.input"]) if streamed else environ["wsgi.input"].read()


def _joined(stream):
    """Join pieces, each after a line with its size; after an empty one come lines that nobody needs."""
    whole = b""
    while size := int(stream.readline().split(b";")[0], 16):
        whole += stream.read(size)
        stream.readline()
    while stream.readline().strip():
        pass
    return whole


def _etag(content):
    return f"<ETag>{quote(hashlib.md5(content).hexdigest())}</ETag>"


def _xml(kind, content):
    return "200 OK", {"Content-Type": "application/xml"}, f"<{kind}>{content}</{kind}>".encode()
