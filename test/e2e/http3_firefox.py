#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate serve by HTTP/3, and Firefox without a screen, in a network namespace that has nothing but
lo.

usage: http3_firefox.py SPATE FIREFOX CERTUTIL      skipped where it may not make namespaces"""
import os
import subprocess
import sys
import unittest

import http3_browser
from http3_browser import PICTURES, Browser
from http3_support import Case

# Firefox has no switch that forces QUIC: it is told what an Alt-Svc header would tell it.
SETTINGS = '''
user_pref("network.http.http3.alt-svc-mapping-for-testing", "localhost;h3=:PORT");
user_pref("network.http.http3.enable", true);
user_pref("network.http.http3.disable_when_third_party_roots_found", false);
user_pref("network.dns.disableIPv6", true);
user_pref("network.proxy.type", 0);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("app.update.enabled", false);
'''
REPORT = (b'<script>onload = () => fetch("/result/" +'
          b' [...document.images].filter(i => i.naturalWidth == 2).length + "-" +'
          b' performance.getEntriesByType("resource").concat('
          b'performance.getEntriesByType("navigation"))'
          b'.filter(e => e.nextHopProtocol == "h3").length);</script>')


class Firefox(Browser):
    """Its servers know no TCP: what comes has come by QUIC."""

    certutil = None

    def openssl(self, *words):
        subprocess.run(['openssl', *map(str, words)], check=True, capture_output=True)

    def make_cert(self):
        """A certificate of a CA: Firefox takes no self-signed one.  Returns it and its key."""
        cert, key, ca_key = (self.top / name for name in ('cert.pem', 'key.pem', 'ca-key.pem'))
        new = ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '9')
        self.openssl('req', '-x509', *new, '-subj', '/CN=a CA', '-keyout', ca_key, '-out', self.ca)
        self.openssl('req', '-x509', *new, '-subj', '/CN=localhost', '-keyout', key, '-out', cert,
                     '-CA', self.ca, '-CAkey', ca_key, '-addext', 'subjectAltName=DNS:localhost',
                     '-addext', 'basicConstraints=critical,CA:FALSE')
        return cert, key

    def firefox(self, url):
        profile = self.home / 'profile'
        profile.mkdir()
        (profile / 'user.js').write_text(SETTINGS.replace('PORT', str(self.port)))
        subprocess.run([self.certutil, '-N', '-d', f'sql:{profile}', '--empty-password'],
                       check=True, capture_output=True)
        subprocess.run([self.certutil, '-A', '-d', f'sql:{profile}', '-n', 'spate', '-t', 'CT,,',
                        '-i', self.ca], check=True, capture_output=True)
        browser = subprocess.Popen(
            [http3_browser.PROGRAM, '--headless', '--no-remote', '--profile', profile, url],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, 'HOME': str(self.home), 'MOZ_DISABLE_CONTENT_SANDBOX': '1'})
        self.addCleanup(self.end, browser)
        return browser

    def test_a_page_with_100_pictures_comes_over_quic(self):
        self.make_page()
        page = self.top / 'www/index.html'
        page.write_bytes(page.read_bytes() + REPORT)
        server = self.serve('--verbose', cert=self.make_cert())
        self.firefox(f'{self.url}/')
        lines = self.lines_of(server, lambda lines: any('/result/' in line for line in lines))
        results = [line.split('/result/')[1] for line in lines if '/result/' in line]
        self.assertEqual(results, [f'{PICTURES}-{PICTURES + 1}'], lines)
        self.assert_pictures_served(lines)


if __name__ == '__main__':
    http3_browser.enter_namespace()
    Case.spate, http3_browser.PROGRAM, Firefox.certutil = (
        os.path.abspath(sys.argv.pop(1)), sys.argv.pop(1), sys.argv.pop(1))
    unittest.main(verbosity=2)
