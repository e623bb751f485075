//! The other caches.

use super::{Contestant, Kind, Site, Starting, free_address, low_address, pinned};

/// Varnish with its files on the disk, without limits of its own on their age.
pub fn varnish(site: &Site) -> anyhow::Result<Contestant> {
    let home = site.home("varnish")?;
    let address = free_address()?;
    let vcl = home.join("default.vcl");
    let text = format!(
        "vcl 4.1;\nbackend default {{ .host = \"{}\"; .port = \"{}\"; }}\n\
         sub vcl_backend_response {{ set beresp.ttl = 30d; set beresp.do_stream = true; }}\n",
        site.origin.ip(),
        site.origin.port()
    );
    std::fs::write(&vcl, text)?;
    let mut command = pinned("varnishd");
    command.args(["-F", "-j", "none", "-a", &address.to_string(), "-n"]).arg(home.join("work"));
    command.arg("-f").arg(&vcl);
    command.args(["-s", &format!("file,{},4g", home.join("storage").display())]);
    command.args(["-p", "thread_pool_max=2500", "-p", "thread_pool_min=100"]);
    Starting { kind: Kind::Varnish, address, prefix: String::new(), home, command }.run()
}

/// apt-cacher-ng, asked in its mirror form.
pub fn apt_cacher_ng(site: &Site) -> anyhow::Result<Contestant> {
    let home = site.home("apt-cacher-ng")?;
    let address = low_address()?;
    for folder in ["cache", "log"] {
        std::fs::create_dir_all(home.join(folder))?;
    }
    let configuration = format!(
        "CacheDir: {home}/cache\nLogDir: {home}/log\nSupportDir: /usr/lib/apt-cacher-ng\n\
         BindAddress: {ip}\nPort: {port}\nForeGround: 1\nReportPage:\nExThreshold: 30\n\
         AllowUserPorts: 0\nRemap-bench: /bench ; http://{origin}/\n",
        home = home.display(),
        ip = address.ip(),
        port = address.port(),
        origin = site.origin,
    );
    std::fs::write(home.join("acng.conf"), configuration)?;
    let mut command = pinned("/usr/sbin/apt-cacher-ng");
    command.arg("-c").arg(&home);
    Starting { kind: Kind::AptCacherNg, address, prefix: "/bench".to_owned(), home, command }.run()
}

/// apt-cacher-rs, asked as a proxy.
pub fn apt_cacher_rs(site: &Site) -> anyhow::Result<Contestant> {
    let home = site.home("apt-cacher-rs")?;
    let address = free_address()?;
    for folder in ["cache", "log"] {
        std::fs::create_dir_all(home.join(folder))?;
    }
    let configuration = format!(
        "database_path = \"{home}/apt-cacher-rs.db\"\ncache_directory = \"{home}/cache\"\n\
         bind_addr = \"{ip}\"\nbind_port = {port}\n\
         allowed_mirrors = [\"{origin_ip}\"]\n",
        home = home.display(),
        ip = address.ip(),
        port = address.port(),
        origin_ip = site.origin.ip(),
    );
    let file = home.join("apt-cacher-rs.conf");
    std::fs::write(&file, configuration)?;
    let mut command = pinned("apt-cacher-rs");
    command.arg("-c").arg(&file);
    let prefix = format!("http://{}", site.origin);
    Starting { kind: Kind::AptCacherRs, address, prefix, home, command }.run()
}
