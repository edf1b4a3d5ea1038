use std::pin::pin;

use super::*;
use crate::server::{config::Config, memory::Memory, metrics::Metrics};

fn workers() -> [Arc<Worker>; 3] {
    let metrics = Metrics::new(&Config::default().limits, Arc::<Memory>::default(), Arc::default());
    [0, 1, 2].map(|number| Worker::new(number, &Place::here(), metrics.meter()))
}

fn chosen(workers: &[Arc<Worker>]) -> usize {
    let chosen = Worker::choose(workers).expect("there are some");
    workers.iter().position(|worker| Arc::ptr_eq(worker, chosen)).expect("one of them")
}

#[tokio::test]
async fn a_worker_is_filled_before_the_next_is_used_and_when_all_are_the_idlest_is() {
    let workers = workers();
    let mut held = Vec::new();
    for number in 0..3 {
        for _ in 0..FULL / SESSION {
            assert_eq!(chosen(&workers), number);
            held.push(workers[number].session());
        }
    }
    held.push(workers[0].exchange());
    assert_eq!(chosen(&workers), 1);
    held.retain(|held| !Arc::ptr_eq(held.worker(), &workers[2]));
    assert_eq!((chosen(&workers), workers[2].load.load(Relaxed)), (2, 0));
}

#[tokio::test]
async fn a_worker_that_has_no_time_gets_nothing_more_unless_all_are_so() {
    let workers = workers();
    workers[0].busy.store(true, Relaxed);
    assert_eq!(chosen(&workers), 1);
    for worker in &workers {
        worker.busy.store(true, Relaxed);
    }
    let _held = workers[0].exchange();
    assert_eq!(chosen(&workers), 1);
}

#[tokio::test]
async fn what_begins_at_once_leaves_the_others_their_turn_after_every_few() {
    let [worker, ..] = workers();
    let (begun, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = Vec::new();
    for _ in 0..10 * TURNS {
        let (worker, begun) = (worker.clone(), begun.clone());
        tasks.push(tokio::spawn(async move {
            let begins = pin!(async {
                begun.fetch_add(1, Relaxed);
                // It goes on some other time.
                tokio::time::sleep(Duration::from_millis(1)).await;
            });
            worker.in_turn(begins).await;
        }));
    }
    let (seen, longest) = (begun.clone(), most.clone());
    let other = tokio::spawn(async move {
        let mut before = 0;
        loop {
            tokio::task::yield_now().await;
            let now = seen.load(Relaxed);
            longest.fetch_max(now - before, Relaxed);
            before = now;
        }
    });
    for task in tasks {
        task.await.expect("it ends");
    }
    other.abort();
    assert_eq!(begun.load(Relaxed), 10 * TURNS);
    // Those whose turn ends and those whose begins may lie between two of another's.
    assert!(most.load(Relaxed) <= 2 * TURNS, "{most:?}");
}

#[test]
fn a_rest_counts_while_it_lasts_and_after() {
    let rest = Rest::default();
    assert_eq!(rest.time(), Duration::ZERO);
    rest.begin();
    thread::sleep(Duration::from_millis(2));
    let during = rest.time();
    rest.end();
    let after = rest.time();
    assert!(during >= Duration::from_millis(2) && after >= during);
    thread::sleep(Duration::from_millis(2));
    assert_eq!(rest.time(), after);
}

#[test]
fn a_thread_that_works_all_the_time_is_seen_to() {
    let threads = Workers::start(NonZero::new(2)).expect("threads");
    let metrics = Metrics::new(&Config::default().limits, Arc::<Memory>::default(), Arc::default());
    let workers: Vec<_> =
        (0..).zip(threads.places()).map(|(number, place)| Worker::new(number, place, metrics.meter())).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    workers[0].runtime().spawn(async move {
        while !stopped.load(Relaxed) {
            tokio::task::yield_now().await;
        }
    });
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let seen = async {
            while !workers[0].busy.load(Relaxed) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            _ = Worker::watch(&workers) => {}
            () = seen => {}
        }
    });
    assert!(!workers[1].busy.load(Relaxed));
    assert_eq!(chosen(&workers), 1);
    stop.store(true, Relaxed);
}
