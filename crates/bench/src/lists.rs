//! Lists and pages in every form at two sizes of the cluster, and lists of 50 MB while writes go on.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde_json::Value;
use tokio::time::Instant;

use crate::Bench;
use crate::cluster::{Cluster, get, get_as};
use crate::connection::{Answer, Connection};
use crate::figures::{Budget, Figures, mb, ms, percentile};
use crate::writes::Creator;
use crate::{load, process};

/// How many pods there are in the two sizes.
const SIZES: [u64; 2] = [10_000, 200_000];
/// How often a whole list is repeated.
const LISTS: u32 = 3;
/// How many pages are read, and how many objects each of them has.
const PAGES: usize = 10;
const PAGE_OBJECTS: u64 = 500;
/// What an object of a plain list may cost, in microseconds.
const OBJECT_US_MAX: f64 = 2.0;
/// How much longer a page may take in the larger cluster: its cost should not depend on the size.
const PAGE_RATIO_MAX: f64 = 1.5;
/// Pods in the list that is read while writes go on: 50 MB.
const PODS_50_MB: u64 = 17_500;
/// How many clients write meanwhile, for how long, and how many lists are read at once.
const WRITERS: usize = 16;
const SPAN: Duration = Duration::from_secs(4);
const READERS: usize = 2;
/// How many lists are left open in the middle, how much of each is read before, and what each may take meanwhile.
const OPEN: usize = 16;
const OPEN_BYTES: usize = 1 << 20;
const OPEN_MB_MAX: f64 = 2.0;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const METADATA: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
/// The forms, JSON first, with which the others are compared.
const FORMS: [(&str, &str); 4] =
    [("JSON", "application/json"), ("protobuf", PROTOBUF), ("Table", TABLE), ("metadata", METADATA)];

pub async fn measure(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let cluster = Cluster::start_api(bench).await?;
    let connection = cluster.connect().await?;
    cluster.make_namespace(&connection, "bench").await?;
    let creator = Creator::new("bench");
    let mut pages: Vec<[Duration; 4]> = Vec::new();
    for size in SIZES {
        creator.fill(&connection, size).await.context("filling the cluster")?;
        whole_lists(&cluster, &connection, size, figures).await?;
        let mut of_size = [Duration::ZERO; 4];
        for ((_, accept), page) in FORMS.into_iter().zip(&mut of_size) {
            *page = median_page(&connection, accept).await?;
        }
        pages.push(of_size);
    }
    for (at, (form, _)) in FORMS.into_iter().enumerate() {
        let (few, many) = (pages[0][at], pages[1][at]);
        let note = format!("{:.2} ms of {}, {:.2} ms of {}", ms(few), SIZES[0], ms(many), SIZES[1]);
        let ratio = many.as_secs_f64() / few.as_secs_f64();
        let budget = Some(Budget::AtMost(PAGE_RATIO_MAX));
        figures.add(format!("page of {PAGE_OBJECTS} as {form}, many to few pods"), ratio, "x", budget, note);
    }
    drop((connection, cluster));
    while_writes_go_on(bench, figures).await
}

/// The whole collection in every form.
async fn whole_lists(
    cluster: &Cluster<'_>,
    connection: &Connection,
    size: u64,
    figures: &mut Figures,
) -> Result<()> {
    let mut plain = None;
    for (form, accept) in FORMS {
        let (mut bytes, sent) = (0, Instant::now());
        let before = process::cpu(cluster.pid())?;
        for _ in 0..LISTS {
            bytes = begin(connection, "/api/v1/pods", accept).await?.drain().await?.0;
        }
        let (cpu, took) = ((process::cpu(cluster.pid())? - before) / LISTS, sent.elapsed() / LISTS);
        let each = cpu.as_secs_f64() * 1e6 / size as f64;
        let note = format!("{:.1} MB in {:.0} ms", mb(bytes), ms(took));
        let budget = (form == "JSON").then_some(Budget::AtMost(OBJECT_US_MAX));
        figures.add(
            format!("list of {size} as {form}, processor time of an object"),
            each,
            "us",
            budget,
            note,
        );
        let plain = *plain.get_or_insert(each);
        if form != "JSON" {
            figures.add(format!("list of {size} as {form}, to JSON"), each / plain, "x", None, "");
        }
    }
    let memory = mb(process::memory(cluster.pid())?.resident);
    figures.add(format!("API server memory after lists of {size} pods"), memory, "MB", None, "resident");
    Ok(())
}

async fn begin(connection: &Connection, path: &str, accept: &'static str) -> Result<Answer> {
    let answer = connection.send(get_as(path, accept), None).await?;
    ensure!(answer.status == 200, "{path}: {}", answer.status);
    Ok(answer)
}

/// The median of pages in a form, one after the other from the begin of the collection. Their tokens come from pages of
/// JSON.
async fn median_page(connection: &Connection, accept: &'static str) -> Result<Duration> {
    let mut path = format!("/api/v1/pods?limit={PAGE_OBJECTS}");
    let mut times = Vec::with_capacity(PAGES);
    for _ in 0..PAGES {
        let sent = Instant::now();
        begin(connection, &path, accept).await?.drain().await?;
        times.push(sent.elapsed());
        let page: Value = serde_json::from_slice(&connection.fetch(get(&path), None).await?)?;
        let token = page["metadata"]["continue"].as_str().context("the page is the last one")?;
        path = format!("/api/v1/pods?limit={PAGE_OBJECTS}&continue={}", token.replace('=', "%3D"));
    }
    times.sort_unstable();
    Ok(percentile(&times, 0.5))
}

/// Lists again and again, and counts; ends only if that fails.
async fn list_again(connection: &Connection, path: &str, count: &Cell<u64>) -> Result<()> {
    loop {
        begin(connection, path, "application/json").await?.drain().await?;
        count.set(count.get() + 1);
    }
}

/// Writes with and without lists of 50 MB beside them, and the memory of lists whose clients do not read on.
async fn while_writes_go_on(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let cluster = Cluster::start_api(bench).await?;
    let connection = cluster.connect().await?;
    for namespace in ["listed", "written"] {
        cluster.make_namespace(&connection, namespace).await?;
    }
    Creator::new("listed").fill(&connection, PODS_50_MB).await.context("filling the cluster")?;
    let (path, creator) = ("/api/v1/namespaces/listed/pods", Creator::new("written"));
    let write = |_| creator.create(&connection);
    let alone = load::run(WRITERS, SPAN, cluster.pid(), write).await?;
    let readers = cluster.connect_many(READERS).await?;
    let lists = Cell::new(0);
    let reading = try_join_all(readers.iter().map(|reader| list_again(reader, path, &lists)));
    let beside = tokio::select! {
        beside = load::run(WRITERS, SPAN, cluster.pid(), write) => beside?,
        ended = reading => { ended?; anyhow::bail!("the lists ended") }
    };
    figures.add("pod creates", alone.rate, "/s", None, alone.note());
    let note = format!("{} lists were read; {}", lists.get(), beside.note());
    figures.add(format!("pod creates beside {READERS} lists of 50 MB"), beside.rate, "/s", None, note);
    figures.add("the same, as a ratio", beside.rate / alone.rate, "x", None, "");
    let slower = beside.p99.as_secs_f64() / alone.p99.as_secs_f64();
    figures.add("p99 of a create beside the lists, to one without", slower, "x", None, "");
    for (form, accept) in &FORMS[..2] {
        let before = process::memory(cluster.pid())?.resident;
        let mut open = Vec::with_capacity(OPEN);
        for _ in 0..OPEN {
            let mut answer = begin(&connection, path, accept).await?;
            let mut read = 0;
            while read < OPEN_BYTES {
                read += answer.chunk().await?.context("the list is short")?.len();
            }
            open.push(answer);
        }
        let grown = process::memory(cluster.pid())?.resident.saturating_sub(before);
        let (each, budget) = (mb(grown) / OPEN as f64, Some(Budget::AtMost(OPEN_MB_MAX)));
        let note = format!("{OPEN} lists of 50 MB, of each of which a megabyte was read");
        figures.add(format!("memory of an unread list as {form}"), each, "MB", budget, note);
    }
    Ok(())
}
