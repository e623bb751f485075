//! `lumbung why`: explains any answer.

use super::engine::{Question, ask};
use super::remote::encoded;
use super::{Ending, args, output};
use crate::cache::Explanation;

pub(super) fn run(args: &args::Why) -> anyhow::Result<Ending> {
    let client = args.client.map(|client| format!("&client={}", encoded(&client.to_string())));
    let path = format!("/api/v1/why?url={}{}", encoded(&args.url), client.unwrap_or_default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let offline = async |store: &crate::app::Offline| {
        let (explainer, url, client) = (store.explainer().clone(), args.url.clone(), args.client);
        Ok(tokio::task::spawn_blocking(move || explainer.explain(&url, client)).await??)
    };
    let explanation: Explanation = runtime.block_on(ask(&args.asking, Question::Look(&path), offline))?;
    output::answer(args.asking.json, &explanation, || explanation.to_string())
}
