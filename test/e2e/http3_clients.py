#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate serve by HTTP/3, and foreign clients of the command line: gtlsclient of ngtcp2, curl, and
libcurl by way of pycurl.  All three fetch and verify the same things.

usage: http3_clients.py SPATE gtlsclient PROGRAM
       http3_clients.py SPATE curl PROGRAM
       http3_clients.py SPATE pycurl      with a Python that has it"""
import io
import os
import subprocess
import sys
import unittest

from http3_support import HANG_S, Case

KIND = PROGRAM = None


class Gtlsclient:
    """Returns heads and bodies; the program writes bodies to files and says heads."""

    def __init__(self, case):
        self.case = case

    def fetch(self, *paths, method='GET', head=()):
        if head:
            return None  # the program has no option for it
        to = self.case.top / 'to'
        to.mkdir(exist_ok=True)
        done = subprocess.run(
            [PROGRAM, '--exit-on-all-streams-close', f'--download={to}', f'--http-method={method}',
             '--no-quic-dump', '127.0.0.1', str(self.case.port),
             *(self.case.url + path for path in paths)],
            capture_output=True, text=True, timeout=HANG_S, check=True)
        said = done.stdout + done.stderr
        answers = []
        for number, path in enumerate(paths):
            lines = [line.split('] ', 1)[-1] for line in said.splitlines()]
            mark = f'http: stream {hex(4 * number)} ['
            fields = dict(line.removeprefix(mark).removesuffix(']').split(': ', 1)
                          for line in lines if line.startswith(mark))
            body = to / (path.rsplit('/', 1)[-1] or 'index.html')
            answers.append((int(fields[':status']), fields,
                            body.read_bytes() if body.exists() else b''))
        return answers


class Curl:
    def __init__(self, case):
        self.case = case

    def fetch(self, *paths, method='GET', head=()):
        answers = []
        for path in paths:
            words = [PROGRAM, '-sS', '--http3-only', '--cacert', self.case.ca, '--path-as-is',
                     '-D', self.case.top / 'head', '-o', self.case.top / 'body', '-w',
                     '%{http_version} %{http_code}', *(['-I'] if method == 'HEAD' else
                                                        ['-X', method])]
            for name, value in head:
                words += ['-H', f'{name}: {value}']
            (self.case.top / 'body').write_bytes(b'')
            done = subprocess.run([*words, self.case.url + path], capture_output=True, text=True,
                                  timeout=HANG_S, check=False)
            self.case.assertEqual(done.returncode, 0, done.stderr)
            version, status = done.stdout.split()
            self.case.assertEqual(version, '3')
            lines = (self.case.top / 'head').read_text().splitlines()[1:]
            fields = dict(line.split(': ', 1) for line in lines if ': ' in line)
            body = (self.case.top / 'body').read_bytes() if method != 'HEAD' else b''
            answers.append((int(status), fields, body))
        return answers


class Pycurl:
    def __init__(self, case):
        self.case = case
        self.curl = pycurl.Curl()  # all requests of a test by one connection
        case.addCleanup(self.curl.close)

    def fetch(self, *paths, method='GET', head=()):
        answers = []
        for path in paths:
            body, lines = io.BytesIO(), []
            for option, value in ((pycurl.URL, self.case.url + path), (pycurl.PATH_AS_IS, 1),
                                  (pycurl.HTTP_VERSION, 31),  # CURL_HTTP_VERSION_3ONLY
                                  (pycurl.CAINFO, str(self.case.ca)), (pycurl.TIMEOUT, HANG_S),
                                  (pycurl.WRITEFUNCTION, body.write),
                                  (pycurl.HEADERFUNCTION,
                                   lambda line, to=lines: to.append(line.decode())),
                                  (pycurl.NOBODY, method == 'HEAD'),
                                  (pycurl.HTTPHEADER, [f'{n}: {v}' for n, v in head])):
                self.curl.setopt(option, value)
            if method not in ('GET', 'HEAD'):
                self.curl.setopt(pycurl.CUSTOMREQUEST, method)
            else:
                self.curl.unsetopt(pycurl.CUSTOMREQUEST)
            self.curl.perform()
            self.case.assertEqual(self.curl.getinfo(pycurl.INFO_HTTP_VERSION), 30)
            fields = dict(line.strip().split(': ', 1) for line in lines if ': ' in line)
            answers.append((self.curl.getinfo(pycurl.RESPONSE_CODE), fields, body.getvalue()))
        return answers


class Clients(Case):
    def setUp(self):
        super().setUp()
        self.client = {'gtlsclient': Gtlsclient, 'curl': Curl, 'pycurl': Pycurl}[KIND](self)

    def test_files_arrive_whole(self):
        files = {f'/file{size}': os.urandom(size) for size in (0, 1, 4096, 300_000, 2_000_000)}
        for name, data in files.items():
            self.make(name[1:], data)
        self.serve()
        for path, (status, fields, body) in zip(files, self.client.fetch(*files)):
            self.assertEqual((status, body == files[path]), (200, True), path)
            self.assertEqual(fields['content-length'], str(len(files[path])))

    def test_types_and_answers(self):
        self.make('page.html', b'<p>')
        self.make('d/picture.png', b'png')
        self.serve()
        for path, status, kind in (('/page.html', 200, 'text/html; charset=utf-8'),
                                   ('/d/picture.png', 200, 'image/png'),
                                   ('/none', 404, 'text/plain; charset=utf-8'),
                                   ('/d', 301, 'text/plain; charset=utf-8'),
                                   ('/%2e%2e/x', 400, 'text/plain; charset=utf-8')):
            ((got, fields, _),) = self.client.fetch(path)
            self.assertEqual((got, fields['content-type']), (status, kind), path)
        ((status, fields, body),) = self.client.fetch('/page.html', method='HEAD')
        self.assertEqual((status, fields['content-length'], body), (200, '3', b''))
        ((status, fields, _),) = self.client.fetch('/page.html', method='DELETE')
        self.assertEqual((status, fields['allow']), (405, 'GET, HEAD'))

    def test_ranges_and_conditions(self):
        self.make('file', b'0123456789')
        self.serve()
        ((_, fields, _),) = self.client.fetch('/file')
        tag, modified = fields['etag'], fields['last-modified']
        for head, status, body in (
                ([('Range', 'bytes=2-4')], 206, b'234'),
                ([('Range', 'bytes=-2'), ('If-Range', tag)], 206, b'89'),
                ([('If-None-Match', f'"x", W/{tag}')], 304, b''),
                ([('If-Modified-Since', modified)], 304, b''),
                ([('If-Match', tag)], 200, b'0123456789'),
                ([('Range', 'bytes=10-')], 416, None)):
            answers = self.client.fetch('/file', head=head)
            if answers is None:
                return
            got, fields, got_body = answers[0]
            self.assertEqual(got, status, head)
            if body is not None:
                self.assertEqual(got_body, body, head)
        self.assertEqual(fields['content-range'], 'bytes */10')
        self.make('file', b'changed, and longer')
        ((status, _, body),) = self.client.fetch(
            '/file', head=[('Range', 'bytes=0-0'), ('If-Range', tag)])
        self.assertEqual((status, body), (200, b'changed, and longer'))


if __name__ == '__main__':
    Case.spate, KIND = os.path.abspath(sys.argv.pop(1)), sys.argv.pop(1)
    if KIND == 'pycurl':
        import pycurl
    else:
        PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=2)
