//! An API server alone, over an in-memory store, for trying out clients: writes a kubeconfig for the administrator and
//! serves on a free loopback port until it is interrupted.
//!
//! `cargo run -p apiserver --features testing --example serve -- /tmp/kubeconfig`

use apiserver::testing::TestServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: serve KUBECONFIG")?;
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let server = TestServer::start().await;
    let served = server.listen().await?;
    std::fs::write(&path, served.kubeconfig())?;
    println!("serving at https://{}; KUBECONFIG={path}", served.address);
    tokio::signal::ctrl_c().await?;
    Ok(())
}
