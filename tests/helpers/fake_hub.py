"""A server that speaks the Hugging Face hub's protocol for downloads, from a folder, and remembers what it was asked."""

import contextlib
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

TOKEN = "hf_a_token_of_the_tests"


@dataclass
class Repository:
    """files: of its only commit; revisions: names that stand for it; gated: only for who has accepted a licence."""

    folder: Path
    commit: str
    revisions: tuple[str, ...] = ("main",)
    gated: bool = False

    @property
    def files(self) -> list[str]:
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())


@dataclass
class FakeHub:
    """repositories: ORG/NAME -> what it holds. cut: a file's name -> bytes after which its connections break. down: nobody
    gets an answer.

    asked: (method, path, the Range header or None) of each request; sent: path -> bytes of content sent.
    """

    repositories: dict[str, Repository]
    cut: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)
    address: str = ""
    down: bool = False


@contextlib.contextmanager
def serving(hub: FakeHub):
    """The hub at http://127.0.0.1:PORT, in `hub.address`, while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            self.answer(body=True)

        def answer(self, body):
            if hub.down:
                self.close_connection = True
                return
            path = unquote(self.path.partition("?")[0])
            hub.asked.append((self.command, path, self.headers.get("Range")))
            parts = path.strip("/").split("/")
            if parts[:2] == ["api", "models"] and parts[4:5] == ["tree"]:
                self.tree("/".join(parts[2:4]), parts[5], body)
            elif parts[:2] == ["api", "models"]:
                self.info("/".join(parts[2:4]), parts[5] if len(parts) > 5 else "main", body)
            elif len(parts) > 4 and parts[2] == "resolve":
                self.file("/".join(parts[:2]), parts[3], "/".join(parts[4:]), body)
            else:
                self.fail(404, "", "no such page", body)

        def repository(self, name, revision, body):
            found = hub.repositories.get(name)
            if found is None:
                # To who is not logged in, a private repository looks like one that is not there.
                self.fail(401, "RepoNotFound", "Repository not found", body)
            elif found.gated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self.fail(401, "GatedRepo", f"Access to model {name} is restricted", body)
            elif revision not in (*found.revisions, found.commit):
                self.fail(404, "RevisionNotFound", f"Invalid rev id: {revision}", body)
            else:
                return found
            return None

        def info(self, name, revision, body):
            # The real hub lists a gated repository to everybody, and refuses its files.
            if (found := hub.repositories.get(name)) is None or revision not in (*found.revisions, found.commit):
                self.repository(name, revision, body)
                return
            siblings = [{"rfilename": file} for file in found.files]
            data = {
                "_id": "1",
                "id": name,
                "modelId": name,
                "sha": found.commit,
                "siblings": siblings,
                "private": False,
            }
            data |= {
                "gated": "auto" if found.gated else False,
                "disabled": False,
                "tags": [],
                "downloads": 0,
                "likes": 0,
            }
            self.reply(200, {"Content-Type": "application/json"}, json.dumps(data).encode(), body)

        def tree(self, name, revision, body):
            """What newer versions of huggingface_hub ask for beside `info`; a large file's LFS entry has its sha256."""
            if (found := self.repository(name, revision, body)) is None:
                return
            entries = []
            for file in found.files:
                content = (found.folder / file).read_bytes()
                entry = {"type": "file", "path": file, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                digest = hashlib.sha256(content).hexdigest()
                entries.append(entry | {"lfs": {"oid": digest, "size": len(content), "pointerSize": 134}})
            self.reply(200, {"Content-Type": "application/json"}, json.dumps(entries).encode(), body)

        def file(self, name, revision, file, body):
            if (found := self.repository(name, revision, body)) is None:
                return
            path = found.folder / file
            if not path.is_file():
                self.fail(404, "EntryNotFound", f"Entry not found: {file}", body)
                return
            content = path.read_bytes()
            tag = hashlib.sha256(content).hexdigest()
            headers = {"ETag": f'"{tag}"', "X-Repo-Commit": found.commit, "Accept-Ranges": "bytes"}
            headers |= {"X-Linked-Etag": f'"{tag}"', "X-Linked-Size": str(len(content))}
            status, start = 200, 0
            if (asked := self.headers.get("Range")) is not None:
                start = int(asked.removeprefix("bytes=").partition("-")[0])
                status, headers["Content-Range"] = 206, f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.reply(status, headers, content[start:], body, hub.cut.get(file), file)

        def fail(self, status, code, text, body):
            headers = {"X-Error-Code": code, "X-Error-Message": text} if code else {}
            self.reply(status, headers, json.dumps({"error": text}).encode(), body)

        def reply(self, status, headers, content, body, cut=None, file=None):
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            if not body:
                return
            sent = content if cut is None else content[:cut]
            self.wfile.write(sent)
            if file is not None:
                hub.sent[file] = hub.sent.get(file, 0) + len(sent)
            if len(sent) < len(content):
                self.wfile.flush()
                hub.cut[file] = 0  # and what is asked for next breaks off at once
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
