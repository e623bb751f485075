//! nginx, serving plain files and as a cache.

use std::net::SocketAddr;
use std::path::Path;

use super::{Contestant, Kind, Site, Starting, free_address, pinned};

/// Plain files with `sendfile`.
pub fn plain(site: &Site) -> anyhow::Result<Contestant> {
    let home = site.home("static")?;
    let address = free_address()?;
    let server = format!(
        "open_file_cache max=10000 inactive=10m;\n\
         open_file_cache_valid 10m;\n\
         server {{ listen {address} backlog=4096; root {}; }}\n",
        site.root().display()
    );
    start(Kind::Static, address, &home, &server)
}

/// A cache that fetches what several ask for once.
pub fn proxy_cache(site: &Site) -> anyhow::Result<Contestant> {
    let home = site.home("proxy_cache")?;
    let address = free_address()?;
    let server = format!(
        "proxy_cache_path {home}/cache levels=1:2 keys_zone=debs:50m max_size=100g inactive=30d use_temp_path=off;\n\
         upstream origin {{ server {origin}; keepalive 16; }}\n\
         server {{\n\
         \x20   listen {address} backlog=4096;\n\
         \x20   location / {{\n\
         \x20       proxy_pass http://origin;\n\
         \x20       proxy_http_version 1.1;\n\
         \x20       proxy_set_header Connection \"\";\n\
         \x20       proxy_cache debs;\n\
         \x20       proxy_cache_valid 200 30d;\n\
         \x20       proxy_cache_lock on;\n\
         \x20       proxy_cache_lock_timeout 10m;\n\
         \x20       proxy_cache_lock_age 10m;\n\
         \x20       proxy_cache_use_stale error timeout updating;\n\
         \x20   }}\n\
         }}\n",
        home = home.display(),
        origin = site.origin,
    );
    start(Kind::ProxyCache, address, &home, &server)
}

fn start(kind: Kind, address: SocketAddr, home: &Path, server: &str) -> anyhow::Result<Contestant> {
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let home_text = home.display();
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = kinds.map(|kind| format!("{kind}_temp_path {home_text}/{kind};\n")).concat();
    let configuration = format!(
        "daemon off;\n{user}\nworker_processes 1;\nworker_rlimit_nofile 30000;\n\
         pid {home_text}/nginx.pid;\nerror_log {home_text}/error.log;\n\
         events {{ worker_connections 15000; }}\n\
         http {{\n{temporary}\
         default_type application/octet-stream;\n\
         access_log {home_text}/access.log combined buffer=64k flush=1s;\n\
         sendfile on;\n\
         sendfile_max_chunk 1m;\n\
         keepalive_requests 10000000;\n\
         {server}\
         }}\n"
    );
    let file = home.join("nginx.conf");
    std::fs::write(&file, configuration)?;
    let mut command = pinned("nginx");
    command.arg("-p").arg(home).arg("-c").arg(&file);
    Starting { kind, address, prefix: String::new(), home: home.to_owned(), command }.run()
}
