//! Channels move all at once and can be moved back.

use super::*;
use crate::store::Pin;

async fn generation(store: &Store, name: &str, text: &str) -> i64 {
    let text = store.put_object(text.as_bytes().to_vec()).await.unwrap().digest;
    store.adopt(suite(name, text), vec![]).await.unwrap().id
}

fn pin(channel: &str, name: &str, generation: i64, since: i64) -> Pin {
    Pin { channel: channel.into(), repo: "ubuntu".into(), suite: name.into(), generation, since }
}

#[tokio::test]
async fn a_channel_is_rolled_back_to_its_state_before_the_last_change_and_forward_again() {
    let home = Home::new();
    let store = home.open();
    let one = generation(&store, "dists/noble", "1").await;
    let up1 = generation(&store, "dists/noble-updates", "1").await;
    store.pin(vec![pin("stable", "dists/noble", one, 10)]).await.unwrap();
    assert_eq!(store.previous_pins("stable").unwrap(), []);
    store.pin(vec![pin("stable", "dists/noble-updates", up1, 20)]).await.unwrap();
    let old = [pin("stable", "dists/noble", one, 10), pin("stable", "dists/noble-updates", up1, 20)];
    let up2 = generation(&store, "dists/noble-updates", "2").await;
    store
        .pin(vec![
            pin("stable", "dists/noble", one, 30),
            pin("stable", "dists/noble-updates", up2, 30),
            pin("pilot", "dists/noble-updates", up2, 30),
        ])
        .await
        .unwrap();
    let new = [pin("stable", "dists/noble", one, 10), pin("stable", "dists/noble-updates", up2, 30)];
    let pilot = pin("pilot", "dists/noble-updates", up2, 30);
    let all = |stable: &[Pin; 2]| [pilot.clone(), stable[0].clone(), stable[1].clone()];
    drop(store);
    let store = home.open();
    assert_eq!(store.pins().unwrap(), all(&new));
    assert_eq!(store.previous_pins("stable").unwrap(), old);
    assert_eq!(store.previous_pins("pilot").unwrap(), []);

    store.pin(store.previous_pins("stable").unwrap()).await.unwrap();
    assert_eq!(store.pins().unwrap(), all(&old));
    store.pin(store.previous_pins("stable").unwrap()).await.unwrap();
    assert_eq!(store.pins().unwrap(), all(&new));
}

#[tokio::test]
async fn promoting_what_is_there_already_does_not_forget_the_way_back() {
    let home = Home::new();
    let store = home.open();
    let one = generation(&store, "dists/noble", "1").await;
    let two = generation(&store, "dists/noble", "2").await;
    store.pin(vec![pin("stable", "dists/noble", one, 10)]).await.unwrap();
    store.pin(vec![pin("stable", "dists/noble", two, 20)]).await.unwrap();
    store.pin(vec![pin("stable", "dists/noble", two, 30)]).await.unwrap();
    assert_eq!(store.pins().unwrap(), [pin("stable", "dists/noble", two, 20)]);
    assert_eq!(store.previous_pins("stable").unwrap(), [pin("stable", "dists/noble", one, 10)]);
}

#[tokio::test]
async fn a_pin_to_another_suites_generation_is_refused_with_all_others() {
    let home = Home::new();
    let store = home.open();
    let noble = generation(&store, "dists/noble", "1").await;
    let jammy = generation(&store, "dists/jammy", "1").await;
    for wrong in [pin("stable", "dists/jammy", noble, 10), pin("stable", "dists/jammy", 77, 10)] {
        let number = wrong.generation;
        let error = store.pin(vec![pin("stable", "dists/noble", noble, 10), wrong]).await.unwrap_err();
        assert!(matches!(error, Error::NoGeneration(found) if found == number), "{error}");
        assert_eq!(store.pins().unwrap(), []);
    }
    store.pin(vec![pin("stable", "dists/jammy", jammy, 10)]).await.unwrap();
    assert_eq!(store.pins().unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_channel_needs_now_or_to_be_rolled_back_cannot_be_dropped() {
    let home = Home::new();
    let store = home.open();
    let mut ids = Vec::new();
    for text in ["1", "2", "3", "4"] {
        ids.push(generation(&store, "dists/noble", text).await);
    }
    for id in &ids[..3] {
        store.pin(vec![pin("stable", "dists/noble", *id, 10)]).await.unwrap();
    }
    let later = home.clock.unix() + 60;
    assert_eq!(store.droppable(later).unwrap(), ids[..1]);
    for id in &ids[1..3] {
        let error = store.drop_generations(vec![ids[0], *id]).await.unwrap_err();
        let text = format!("generation {id} cannot be dropped: it is kept by the channel stable");
        assert_eq!(error.to_string(), text);
    }
    store.drop_generations(vec![ids[0]]).await.unwrap();
    store.unpin("stable").await.unwrap();
    assert_eq!((store.pins().unwrap(), store.previous_pins("stable").unwrap()), (vec![], vec![]));
    assert_eq!(store.droppable(later).unwrap(), ids[1..3]);
    store.drop_generations(ids[1..3].to_vec()).await.unwrap();
    assert_eq!(store.generations().unwrap().len(), 1);
}

#[tokio::test]
async fn a_promotion_that_fails_half_way_did_not_happen() {
    let home = Home::new();
    let store = home.open();
    let noble = generation(&store, "dists/noble", "1").await;
    let jammy = generation(&store, "dists/jammy", "1").await;
    home.catalog()
        .execute_batch(
            "CREATE TRIGGER broken BEFORE INSERT ON pin WHEN NEW.suite = 'dists/jammy'
             BEGIN SELECT RAISE(ABORT, 'injected'); END",
        )
        .unwrap();
    let pins = vec![pin("stable", "dists/noble", noble, 10), pin("stable", "dists/jammy", jammy, 10)];
    let error = store.pin(pins.clone()).await.unwrap_err();
    assert!(matches!(error, Error::Catalog { .. }), "{error}");
    assert_eq!(store.pins().unwrap(), []);
    home.catalog().execute_batch("DROP TRIGGER broken").unwrap();
    store.pin(pins).await.unwrap();
    assert_eq!(store.pins().unwrap().len(), 2);
}

#[tokio::test]
async fn a_rollback_is_one_step_is_remembered_and_undone_by_another() {
    let home = Home::new();
    let store = home.open();
    let one = generation(&store, "dists/noble", "1").await;
    let up1 = generation(&store, "dists/noble-updates", "1").await;
    assert_eq!(store.roll_back("stable").await.unwrap(), []);
    store
        .pin(vec![pin("stable", "dists/noble", one, 10), pin("stable", "dists/noble-updates", up1, 10)])
        .await
        .unwrap();
    assert_eq!(store.roll_back("stable").await.unwrap(), []);
    assert_eq!(store.rollbacks().unwrap(), []);
    let up2 = generation(&store, "dists/noble-updates", "2").await;
    store.pin(vec![pin("stable", "dists/noble-updates", up2, 20)]).await.unwrap();
    let back = store.roll_back("stable").await.unwrap();
    let at = back[0].since;
    assert_eq!(back, [pin("stable", "dists/noble-updates", up1, at)]);
    assert_eq!(store.rollbacks().unwrap(), [("stable".into(), at)]);
    let pins = [pin("stable", "dists/noble", one, 10), pin("stable", "dists/noble-updates", up1, at)];
    assert_eq!(store.pins().unwrap(), pins);
    assert_eq!(store.roll_back("stable").await.unwrap()[0].generation, up2);
}
