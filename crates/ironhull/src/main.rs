//! The `ironhull` program.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let dir = PathBuf::from(std::env::args().nth(1).unwrap_or("/tmp/ih-data".into()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async move {
        let clock = clock::Clock::system();
        let store = store::Embedded::open(store::Options::new(dir.join("db"), clock.clone())).await?;
        let address: IpAddr = "127.0.0.1".parse()?;
        let config = apiserver::Config {
            pki_directory: dir.join("tls"),
            addresses: vec![address],
            names: vec![],
            port: 6443,
            service_cidr: "10.43.0.0/16".into(),
            cluster_domain: "cluster.local".into(),
            tokens: vec![],
        };
        let server = apiserver::ApiServer::start(&config, Arc::new(store), clock.clone()).await?;
        let certificate = server.serving_certificate(&config, "10.43.0.1".parse()?)?;
        let tls = apiserver::server::tls(&server.pki, &certificate)?;
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 6443)).await?;
        let admin = apiserver::pki::Subject {
            common_name: "kubernetes-admin".into(),
            organizations: vec!["system:masters".into()],
            ..Default::default()
        };
        let admin = server.pki.client_certificate("client-admin", &admin)?;
        use base64::Engine;
        let b64 = |s: &str| base64::engine::general_purpose::STANDARD.encode(s);
        let text = format!("apiVersion: v1\nkind: Config\nclusters:\n- name: default\n  cluster:\n    server: https://127.0.0.1:6443\n    certificate-authority-data: {}\nusers:\n- name: default\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\ncontexts:\n- name: default\n  context: {{cluster: default, user: default}}\ncurrent-context: default\n", b64(server.pki.server.certificate()), b64(&admin.certificate), b64(&admin.key));
        std::fs::write(dir.join("kubeconfig"), text)?;
        let stop = tokio_util::sync::CancellationToken::new();
        apiserver::server::serve(server, listener, tls, stop).await;
        anyhow::Ok(())
    })
}
