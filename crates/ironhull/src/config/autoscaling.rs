//! The settings of horizontal pod autoscalers.

use std::time::Duration;

use anyhow::{Context, ensure};
use controllers::AutoscalingOptions;
use jiff::SignedDuration;

use crate::flags::AutoscalingFlags;

/// The shortest time between two looks: shorter ones would find nothing new, but take time from everything else.
const PERIOD_MIN: Duration = Duration::from_secs(1);

/// The options of autoscalers.
///
/// # Errors
/// The flag that is wrong.
pub fn options(flags: &AutoscalingFlags) -> anyhow::Result<AutoscalingOptions> {
    let tolerance = flags.horizontal_pod_autoscaler_tolerance;
    ensure!(
        tolerance.is_finite() && tolerance >= 0.0,
        "--horizontal-pod-autoscaler-tolerance {tolerance} is not a fraction such as 0.1"
    );
    Ok(AutoscalingOptions {
        sync_period: period(
            "--horizontal-pod-autoscaler-sync-period",
            &flags.horizontal_pod_autoscaler_sync_period,
        )?,
        downscale_stabilization: duration(
            "--horizontal-pod-autoscaler-downscale-stabilization",
            &flags.horizontal_pod_autoscaler_downscale_stabilization,
        )?,
        tolerance,
        cpu_initialization: duration(
            "--horizontal-pod-autoscaler-cpu-initialization-period",
            &flags.horizontal_pod_autoscaler_cpu_initialization_period,
        )?,
        initial_readiness: duration(
            "--horizontal-pod-autoscaler-initial-readiness-delay",
            &flags.horizontal_pod_autoscaler_initial_readiness_delay,
        )?,
    })
}

/// The time between two looks.
///
/// # Errors
/// If it is not a duration, or too short.
pub fn period(flag: &str, text: &str) -> anyhow::Result<Duration> {
    let period = duration(flag, text)?;
    ensure!(period >= PERIOD_MIN, "{flag} {text}: the shortest period is {} s", PERIOD_MIN.as_secs());
    Ok(period)
}

fn duration(flag: &str, text: &str) -> anyhow::Result<Duration> {
    let wrong = || format!("{flag} {text:?} is not a duration such as 15s or 5m");
    let duration: SignedDuration = text.parse().with_context(wrong)?;
    Duration::try_from(duration).with_context(wrong)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        flags: AutoscalingFlags,
    }

    fn read(arguments: &[&str]) -> anyhow::Result<(Duration, AutoscalingOptions)> {
        let Cli { flags } = Cli::parse_from(["x"].iter().chain(arguments));
        Ok((period("--metric-resolution", &flags.metric_resolution)?, options(&flags)?))
    }

    #[test]
    fn defaults_are_upstream_s() {
        let (resolution, options) = read(&[]).unwrap();
        assert_eq!(resolution, apiserver::usage::RESOLUTION);
        assert_eq!(format!("{options:?}"), format!("{:?}", AutoscalingOptions::default()));
    }

    #[test]
    fn wrong_settings_name_their_flag() {
        let (resolution, options) =
            read(&["--metric-resolution=5s", "--horizontal-pod-autoscaler-sync-period=2s"]).unwrap();
        assert_eq!((resolution.as_secs(), options.sync_period.as_secs()), (5, 2));
        for (flag, value) in [
            ("--metric-resolution", "0s"),
            ("--horizontal-pod-autoscaler-sync-period", "soon"),
            ("--horizontal-pod-autoscaler-downscale-stabilization", "-1s"),
            ("--horizontal-pod-autoscaler-tolerance", "-0.1"),
            ("--horizontal-pod-autoscaler-tolerance", "NaN"),
        ] {
            let error = read(&[&format!("{flag}={value}")]).unwrap_err();
            assert!(error.to_string().starts_with(flag), "{error}");
        }
    }
}
