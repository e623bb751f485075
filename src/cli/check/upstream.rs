//! Whether upstreams answer: each is really asked for its base, through the same client, time-outs and
//! certificates that the server uses.

use std::collections::HashSet;

use futures_util::future::join_all;

use super::{Finding, Verdict};
use crate::outcome::Class;
use crate::repo;
use crate::safe_url::Origin;
use crate::upstream::{Client, Config, Request};
use crate::wan::Governor;

/// Asks every upstream of `repos`, all at the same time (the client bounds how many connections run).
///
/// # Errors
/// Only when no client can be built, which an unreadable certificate authority explains.
pub(super) async fn look(config: &Config, repos: &[repo::Config]) -> anyhow::Result<Vec<Finding>> {
    let bases = || repos.iter().flat_map(|repo| repo.upstreams.iter());
    let origins: Vec<Origin> = bases().map(|base| base.origin.clone()).collect();
    let client = Client::new(config, &origins, &Governor::unlimited())?;
    let mut seen = HashSet::new();
    let asked = bases().filter(|base| seen.insert(*base)).map(async |base| {
        // An archive's base seldom has a page of its own: any answer shows that somebody is there.
        let url = format!("{}/", base.to_string().trim_end_matches('/'));
        let answer = client.send(Request::head(url, Class::Client)).await;
        let (verdict, words) = match &answer {
            Ok(response) => judge(response.status),
            Err(error) => (Verdict::Bad, format!("not reached: {error}")),
        };
        Finding::new(verdict, "upstream", base.to_string(), words)
    });
    Ok(join_all(asked).await)
}

/// What an answer to a request for the base says.
fn judge(status: http::StatusCode) -> (Verdict, String) {
    if status.is_server_error() {
        (Verdict::Bad, format!("answers {status}: it has trouble of its own"))
    } else {
        (Verdict::Ok, format!("answers ({status})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_answer_but_trouble_means_reached() {
        for good in [200, 301, 403, 404, 405] {
            assert_eq!(judge(http::StatusCode::from_u16(good).unwrap()).0, Verdict::Ok, "{good}");
        }
        for bad in [500, 503] {
            assert_eq!(judge(http::StatusCode::from_u16(bad).unwrap()).0, Verdict::Bad, "{bad}");
        }
    }
}
