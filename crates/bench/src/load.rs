//! Closed loops: a number of clients, each of which sends its next request when the last one was answered.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use tokio::time::Instant;

use crate::figures::percentile;
use crate::process;

/// How long a load runs before it is measured.
const WARM_UP: Duration = Duration::from_millis(500);

/// The results of a load.
#[derive(Debug)]
pub struct Outcome {
    /// Requests a second.
    pub rate: f64,
    /// The time of one request: the median.
    pub p50: Duration,
    /// The time that 99 of 100 requests do not exceed.
    pub p99: Duration,
    /// Processor time of the measured process for one request.
    pub server_cpu: Duration,
    /// Processor time of this program for one request.
    pub client_cpu: Duration,
}

impl Outcome {
    /// The latencies and costs, for a figure's note.
    pub fn note(&self) -> String {
        let micros = |duration: Duration| duration.as_micros();
        format!(
            "p50 {:.2} ms, p99 {:.2} ms; a request takes {} us of processor time here, {} us in the generator",
            crate::figures::ms(self.p50),
            crate::figures::ms(self.p99),
            micros(self.server_cpu),
            micros(self.client_cpu)
        )
    }
}

/// Runs a load for a while. `request` gets the client's number and sends one request.
///
/// # Errors
/// The first request that failed.
pub async fn run<F, R>(clients: usize, span: Duration, server: i32, request: F) -> Result<Outcome>
where
    F: Fn(usize) -> R,
    R: Future<Output = Result<()>>,
{
    let request = Rc::new(request);
    let begin = Instant::now() + WARM_UP;
    let end = begin + span;
    let loops = (0..clients).map(|client| {
        let request = Rc::clone(&request);
        async move {
            let mut latencies = Vec::new();
            loop {
                let sent = Instant::now();
                if sent >= end {
                    return anyhow::Ok(latencies);
                }
                request(client).await?;
                let done = Instant::now();
                if done >= begin && done < end {
                    latencies.push(done - sent);
                }
            }
        }
    });
    let costs = async {
        let cost = || anyhow::Ok((process::cpu(server)?, process::own_cpu()?));
        tokio::time::sleep_until(begin).await;
        let before = cost()?;
        tokio::time::sleep_until(end).await;
        let after = cost()?;
        Ok((after.0 - before.0, after.1 - before.1))
    };
    let (latencies, (server_cpu, client_cpu)) = tokio::try_join!(try_join_all(loops), costs)?;
    let mut latencies: Vec<Duration> = latencies.into_iter().flatten().collect();
    latencies.sort_unstable();
    let count = u32::try_from(latencies.len()).unwrap_or(u32::MAX).max(1);
    Ok(Outcome {
        rate: f64::from(count) / span.as_secs_f64(),
        p50: percentile(&latencies, 0.5),
        p99: percentile(&latencies, 0.99),
        server_cpu: server_cpu / count,
        client_cpu: client_cpu / count,
    })
}
