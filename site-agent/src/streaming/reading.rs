//! A running agent that reads its sources by itself, so that files which arrive in a folder reach the streams.

use std::sync::Arc;
use std::time::Duration;

use crate::agent::Agent;

/// Reads every source again and again, `every` apart, until the agent ends. What can't be read is told in the log and tried again.
pub async fn read_every(agent: Arc<Agent>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        match agent.ingest(&mut |_, _, _| ()).await {
            Ok(report) => {
                for failed in &report.failed {
                    tracing::warn!("a source can't be read: {failed:?}");
                }
            }
            Err(e) => tracing::warn!("the sources can't be read: {e}"),
        }
    }
}
