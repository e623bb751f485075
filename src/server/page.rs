//! The pages that people see: how to point a desktop here, and the administrators' overview.
//!
//! Each is one file without outside assets. Everything that comes from the configuration, a request or
//! an upstream is escaped.

use std::fmt::{self, Write as _};

use super::client_script::ClientRepo;
use crate::safe_url::BaseUrl;

/// The look of both pages.
const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;\
color:#222;background:#fff}pre{background:#f3f3ee;padding:.8rem;overflow-x:auto}h1{color:#7a4a12}\
table{border-collapse:collapse}td,th{text-align:left;padding:.2rem 1rem .2rem 0;vertical-align:top}\
.note{border-left:4px solid #c60;padding-left:.8rem}";

/// Text that HTML shows as it is, in elements and in quoted attributes.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// The page behind `GET /` on the desktops' address, in English and Bahasa Indonesia: what this is,
/// how to point a desktop here, what is served. `server` is how desktops reach this server.
#[must_use]
pub fn usage(server: &BaseUrl, repos: &[ClientRepo]) -> String {
    let base = server.to_string();
    let base = Escaped(base.trim_end_matches('/'));
    let mut rows = String::new();
    for repo in repos {
        let _ = write!(rows, "<tr><td>{}</td><td>", Escaped(&repo.name));
        for (at, location) in repo.locations.iter().enumerate() {
            let _ = write!(rows, "{}{}", if at == 0 { "" } else { "<br>" }, Escaped(&location.to_string()));
        }
        let _ = write!(rows, "</td><td>{base}/{}/</td></tr>", Escaped(&repo.name));
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width\"><title>Lumbung</title><style>{STYLE}</style></head><body>\
<h1>Lumbung</h1>\
<p>This server keeps software packages near the desktops that use them, so that each crosses the slow line \
only once. It is made for package tools, not for browsers; nothing needs to be done here.</p>\
<p lang=\"id\">Server ini menyimpan paket perangkat lunak di dekat komputer yang memakainya, sehingga setiap \
paket hanya sekali melewati jaringan yang lambat. Server ini dibuat untuk apt, bukan untuk peramban web.</p>\
<h2>Point a desktop here · <span lang=\"id\">Arahkan komputer ke sini</span></h2>\
<p>As a mirror: the desktop's package sources are rewritten to this server. A copy of each is kept.<br>\
<span lang=\"id\">Sebagai mirror: sumber paket di komputer diganti ke server ini; salinan aslinya disimpan.</span></p>\
<pre>curl -fsS {base}/client.sh | sudo sh -s -- --mode mirror</pre>\
<p>As a proxy: the sources stay; apt asks through this server.<br>\
<span lang=\"id\">Sebagai proksi: sumber paket tidak berubah; apt bertanya lewat server ini.</span></p>\
<pre>curl -fsS {base}/client.sh | sudo sh -s -- --mode proxy</pre>\
<p>To look first, add <code>--dry-run</code>; to take it back, use <code>--undo</code>.<br>\
<span lang=\"id\">Untuk melihat dahulu, tambahkan <code>--dry-run</code>; untuk membatalkan, pakai \
<code>--undo</code>.</span></p>\
<h2>Served here · <span lang=\"id\">Yang tersedia</span></h2>\
<table><tr><th>Repository</th><th>Instead of · <span lang=\"id\">pengganti</span></th><th>Address · \
<span lang=\"id\">alamat</span></th></tr>{rows}</table></body></html>\n"
    )
}

/// The list behind `GET /mirrors.txt` and `GET /mirrors/<repo>.txt`, for apt's `mirror+file:` and
/// `mirror+http:` sources: this server first, and an upstream second, so that desktops outlive this
/// server's bad day. (With `mirror+http:` they do not, for the list itself comes from here.)
#[must_use]
pub fn mirror_list(server: &BaseUrl, repo: &str, upstreams: &[BaseUrl]) -> String {
    let base = server.to_string();
    let mut list = format!("{}/{repo}/\tpriority:1\n", base.trim_end_matches('/'));
    for upstream in upstreams {
        let url = upstream.to_string();
        let _ = writeln!(list, "{}/\tpriority:2", url.trim_end_matches('/'));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::Alias;

    #[test]
    fn the_usage_page_names_the_server_and_what_it_serves() {
        let server = "http://mirror.example.go.id:3142".parse().unwrap();
        let location: Alias = "http://*.archive.ubuntu.com/ubuntu".parse().unwrap();
        let repos = [ClientRepo { name: "ubuntu".to_owned(), locations: vec![location] }];
        let page = usage(&server, &repos);
        for words in [
            "curl -fsS http://mirror.example.go.id:3142/client.sh | sudo sh -s -- --mode mirror",
            "--mode proxy",
            "http://*.archive.ubuntu.com/ubuntu",
            "http://mirror.example.go.id:3142/ubuntu/",
            "lang=\"id\"",
        ] {
            assert!(page.contains(words), "{words:?} in {page}");
        }
    }

    #[test]
    fn nothing_gets_out_of_its_text() {
        let repos = [ClientRepo { name: "<b>".to_owned(), locations: Vec::new() }];
        assert!(!usage(&"http://a".parse().unwrap(), &repos).contains("<b>"));
    }

    #[test]
    fn the_mirror_list_puts_this_server_first() {
        let server = "http://mirror:3142".parse().unwrap();
        let upstreams = ["http://archive.ubuntu.com/ubuntu".parse().unwrap()];
        assert_eq!(
            mirror_list(&server, "ubuntu", &upstreams),
            "http://mirror:3142/ubuntu/\tpriority:1\nhttp://archive.ubuntu.com/ubuntu/\tpriority:2\n"
        );
    }
}
