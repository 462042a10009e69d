//! Pages and redirects of pods and Services through the API server's proxy: a client that follows them stays in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::output;

use crate::support::{Following, Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    vec![trial(
        shared,
        "proxied",
        "links_and_redirects_lead_back_through_the_proxy",
        links_and_redirects_lead_back_through_the_proxy,
    )]
}

/// A web server with a page of links, a program that redirects, and a directory, to which busybox redirects itself.
const SITE: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: site}
data:
  index.html: '<html><a href="/dir/page.html?a=1&amp;b=2">in</a> <a href="http://example.com/">out</a><img src=/dir/i.png></html>'
  page.html: the page
  redirect: |
    #!/bin/sh
    printf 'Status: 302 Found\r\nLocation: %s\r\n\r\n' "$QUERY_STRING"
---
apiVersion: v1
kind: Pod
metadata: {name: site, labels: {app: site}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: $BUSYBOX
    command: [httpd, -f, -p, '8080', -h, /www]
    readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
    volumeMounts: [{name: site, mountPath: /www}]
  volumes:
  - name: site
    configMap:
      name: site
      items:
      - {key: index.html, path: index.html}
      - {key: page.html, path: dir/page.html}
      - {key: page.html, path: dir/index.html}
      - {key: redirect, path: cgi-bin/redirect, mode: 0755}
---
apiVersion: v1
kind: Service
metadata: {name: site}
spec: {selector: {app: site}, ports: [{name: http, port: 80, targetPort: 8080}]}
"#;

/// A browser of sorts, at an address of the cluster that needs no credentials.
struct Browser<'a> {
    namespace: &'a Namespace,
    /// Its address follows from what it said.
    _proxy: Following,
    origin: String,
}

impl Browser<'_> {
    fn open(namespace: &Namespace) -> Browser<'_> {
        let proxy = namespace.follow(&["proxy", "--port=0"]);
        let said = proxy.until("Starting to serve on ");
        let address = said.trim().rsplit(' ').next().unwrap();
        Browser { namespace, origin: format!("http://{address}"), _proxy: proxy }
    }

    fn curl(&self, arguments: &[&str], path: &str) -> Result<String, String> {
        let mut curl = self.namespace.cluster.host().command("curl");
        curl.args(["-sS", "-m", "30"]).args(arguments).arg(format!("{}{path}", self.origin));
        output(&mut curl).map_err(|error| error.to_string())
    }

    /// Code and headers of a page.
    fn head(&self, path: &str) -> (String, BTreeMap<String, String>) {
        let head = self.curl(&["-D", "-", "-o", "/dev/null"], path).unwrap();
        let mut lines = head.lines();
        let code = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
        let headers = lines.filter_map(|line| line.split_once(": "));
        (code, headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect())
    }

    /// A page, after all redirects.
    fn page(&self, path: &str) -> String {
        self.curl(&["-f", "-L"], path).unwrap()
    }
}

fn links_and_redirects_lead_back_through_the_proxy(namespace: &Namespace) {
    namespace.apply(SITE);
    namespace.wait("pod/site", "condition=Ready");
    let browser = Browser::open(namespace);
    let place = format!("/api/v1/namespaces/{}", namespace.name);
    for target in ["pods/site:8080", "services/site", "services/site:http", "services/http:site:80"] {
        let prefix = format!("{place}/{target}/proxy");
        // The endpoint may be known a little later than the pod's readiness.
        let page = namespace.until(target, || browser.curl(&["-f"], &format!("{prefix}/")));
        let expected = format!(
            "<html><a href=\"{prefix}/dir/page.html?a=1&amp;b=2\">in</a> \
             <a href=\"http://example.com/\">out</a><img src=\"{prefix}/dir/i.png\"></html>"
        );
        assert_eq!(page.trim_end(), expected, "{target}");
        let link = page.split('"').nth(1).unwrap().replace("&amp;", "&");
        assert_eq!(browser.page(&link), "the page", "{link}");

        let (code, headers) = browser.head(&format!("{prefix}/cgi-bin/redirect?/dir/page.html"));
        assert_eq!((code.as_str(), &headers["location"]), ("302", &format!("{prefix}/dir/page.html")));
        let (code, headers) = browser.head(&format!("{prefix}/dir"));
        assert_eq!((code.as_str(), &headers["location"]), ("302", &format!("{prefix}/dir/")));
        for path in ["cgi-bin/redirect?/dir/page.html", "dir"] {
            assert_eq!(browser.page(&format!("{prefix}/{path}")), "the page", "{target} {path}");
        }
        // Other hosts' links are theirs, and those relative to the page need no help.
        for elsewhere in ["http://example.com/x", "other.html"] {
            let (_, headers) = browser.head(&format!("{prefix}/cgi-bin/redirect?{elsewhere}"));
            assert_eq!(headers["location"], elsewhere);
        }
    }
    // The proxy's own path without a slash at its end leads to the one with it.
    let (code, headers) = browser.head(&format!("{place}/pods/site:8080/proxy"));
    assert_eq!((code.as_str(), &headers["location"]), ("301", &format!("{place}/pods/site:8080/proxy/")));
}
