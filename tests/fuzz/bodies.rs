//! What a fuzzer feeds with bytes of its own, and a plain test with the corpus: everything that reads what others wrote.
//! Nothing may panic, hang or read past its bounds, and what is canonical must come back byte for byte.

use std::sync::Arc;

use tallyman_agent_core::sources::{blkio, cgroup, cpu, hierarchy, host, identity, io, memory, net, proc};
use tallyman_agent_core::spool;
use tallyman_agent_core::{Disk, DiskError, Listed};
use tallyman_aggregator_core::api::text::parse_period;
use tallyman_aggregator_core::ingest::Marks;
use tallyman_aggregator_core::log::{Entry, Kept, decode_decision};
use tallyman_aggregator_core::rating::calendar::{BillingZone, parse_hour};
use tallyman_aggregator_core::rating::instant::parse_instant;
use tallyman_aggregator_core::rating::statement::{Input, Statement, statement};
use tallyman_aggregator_core::rating::{
    BookVersions, HourUsage, Month, MonthSums, PriceBook, RatingError, Terms, rate_period,
};
use tallyman_aggregator_core::rollup::Inference;
use tallyman_aggregator_core::rollup::cell::{NodeHour, OwnerHour};
use tallyman_aggregator_core::rollup::day::{DAY_HOURS, PackedDay};
use tallyman_aggregator_core::rollup::part::owner_of_key;
use tallyman_common::codec;
use tallyman_common::export::ExportReader;
use tallyman_common::ids::NodeId;
use tallyman_common::message::Message;
use tallyman_common::money::{Money, Quantity, parse_decimal};
use tallyman_common::record::Record;
use tallyman_common::sign::NodeKey;
use tallyman_common::time::Hour;
use tallyman_common::wire::Frame;

/// What is done with a fuzzer's bytes.
pub type Body = fn(&[u8]);

/// Every target by name: the name of its corpus, and of its file in `fuzz_targets`.
pub const TARGETS: &[(&str, Body)] = &[
    ("wire", wire),
    ("message", message),
    ("spool_folder", spool_folder),
    ("kernel_files", kernel_files),
    ("price_book", price_book),
    ("rating", rating),
    ("query", query),
    ("store_values", store_values),
];

/// Frames from the network, and records behind their signature.
pub fn wire(data: &[u8]) {
    if let Ok(frame) = Frame::parse(data) {
        assert_eq!(
            codec::encode(&frame.header),
            frame.header_bytes,
            "one byte string for one header"
        );
        let nobody = NodeKey::from_seed(&[9; 32]).public();
        assert!(frame.verify(&nobody).is_err(), "nobody signed this");
    }
    if let Ok(record) = Record::decode(data) {
        assert_eq!(record.encode(), data, "one byte string for one record");
    }
}

/// What agent and aggregator say to each other, and exported files.
pub fn message(data: &[u8]) {
    let mut rest = data;
    while let Ok(Some(message)) = Message::decode_front(&mut rest) {
        if !matches!(message, Message::Unknown(_)) {
            let taken = data.len() - rest.len();
            assert!(
                data[..taken].ends_with(&message.encode()),
                "one byte string for one message"
            );
        }
    }
    if let Ok(mut export) = ExportReader::begin(data) {
        while let Ok(Some(frame)) = export.frame() {
            assert!(frame.len() <= data.len());
        }
    }
}

/// A folder with one file.
struct OneFile<'a>(&'a [u8]);

const SEGMENT: &str = "spool-0000000001-0102030405060708090a0b0c0d0e0f10-000000000001.seg";

impl Disk for OneFile<'_> {
    fn list(&mut self) -> Result<Vec<Listed>, DiskError> {
        let (name, len) = (SEGMENT.to_owned(), self.0.len() as u64);
        Ok(vec![Listed { name, len }])
    }

    fn read(&mut self, _name: &str) -> Result<Vec<u8>, DiskError> {
        Ok(self.0.to_vec())
    }

    fn read_at(&mut self, _name: &str, offset: u64, len: usize) -> Result<Vec<u8>, DiskError> {
        let from = usize::try_from(offset).map_err(|e| DiskError::Failed(e.to_string()))?;
        let bytes = self.0.get(from..).and_then(|rest| rest.get(..len));
        bytes
            .map(<[u8]>::to_vec)
            .ok_or_else(|| DiskError::Failed("short".to_owned()))
    }

    fn append(&mut self, _name: &str, _bytes: &[u8]) -> Result<(), DiskError> {
        Err(DiskError::Full)
    }

    fn sync(&mut self, _name: &str) -> Result<(), DiskError> {
        Err(DiskError::Full)
    }

    fn truncate(&mut self, _name: &str, _len: u64) -> Result<(), DiskError> {
        Err(DiskError::Full)
    }

    fn remove(&mut self, _name: &str) -> Result<(), DiskError> {
        Err(DiskError::Full)
    }
}

/// Segments on disk, whatever they hold.
pub fn spool_folder(data: &[u8]) {
    let mut disk = OneFile(data);
    let listed = spool::list(&mut disk).expect("it can be read");
    for frame in &listed {
        assert!(
            spool::frame_of(frame, &mut disk).is_some(),
            "what is listed is there"
        );
    }
    let verified = spool::verify(&mut disk).expect("it can be read");
    assert_eq!(verified.frames, listed.len() as u64);
}

/// Files of the kernel; the first byte says which.
pub fn kernel_files(data: &[u8]) {
    let Some((which, bytes)) = data.split_first() else {
        return;
    };
    // Whether each can be understood is for its own tests.
    match which % 20 {
        0 => drop(blkio::parse_blkio_service_bytes(bytes, &mut Vec::new())),
        1 => drop(blkio::parse_blkio_serviced(bytes, &mut Vec::new())),
        2 => drop(blkio::parse_blkio_rules(bytes, &mut Vec::new())),
        3 => drop(cgroup::parse_process_cgroups(bytes)),
        4 => drop(cgroup::parse_populated(bytes)),
        5 => drop(cgroup::parse_controllers(bytes)),
        6 => drop(cpu::parse_cpu_stat(bytes)),
        7 => drop(cpu::parse_cpuacct_usage(bytes)),
        8 => drop(hierarchy::parse_cgroup_mounts(bytes)),
        9 => drop(host::parse_proc_stat(bytes)),
        10 => drop(host::parse_meminfo(bytes)),
        11 => drop(host::parse_diskstats(bytes, &mut Vec::new())),
        12 => drop(io::parse_io_stat(bytes, &mut Vec::new())),
        13 => drop(memory::parse_memory_current(bytes)),
        14 => drop(memory::parse_memory_stat(bytes)),
        15 => drop(memory::parse_memory_stat_v1(bytes)),
        16 => drop(net::parse_net_dev(bytes, &mut Vec::new())),
        17 => drop(proc::parse_starttime_ticks(bytes)),
        18 => drop(proc::parse_boot_id(bytes)),
        _ => {
            if let Some(found) = identity::container_of(bytes) {
                assert!(identity::cut_at(bytes, &found.id).is_none_or(|cut| cut.len() <= bytes.len()));
            }
            assert!(identity::ancestors(bytes).all(|path| path.len() <= bytes.len()));
        }
    }
}

/// Price books as an operator writes them.
pub fn price_book(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match PriceBook::parse(text) {
        Ok(book) => drop(book.digest()),
        Err(faults) => assert!(!faults.is_empty(), "a refusal has a reason"),
    }
}

/// A price book and, behind a zero byte, terms: a month of two tenants by them adds up to the cent, or is an error.
pub fn rating(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (book, terms) = text.split_once('\0').unwrap_or((text, "format = 1"));
    let Ok(book) = PriceBook::parse(book) else {
        return;
    };
    match Terms::parse(terms, &book) {
        Ok(terms) => drop(month(book, &terms).map(|it| adds_up(&it))),
        Err(faults) => assert!(!faults.is_empty(), "a refusal has a reason"),
    }
}

fn month(book: PriceBook, terms: &Terms) -> Result<Statement, RatingError> {
    let month = Month::parse("2026-11").expect("a month");
    let zone = BillingZone::utc();
    let hours = zone.month_hours(month).expect("hours");
    let books = BookVersions::always(Arc::new(book.clone()));
    let mut sums = MonthSums::new(&books);
    for (tenant, used) in [("acme", "0.000001"), ("beta", "123456789.5")] {
        let used = Quantity::parse(used).expect("a quantity");
        let quantities = book.items().iter().map(|it| (it.key().clone(), used)).collect();
        let of_hour = |hour: Hour| HourUsage {
            hour,
            day: Hour(hour.0 / 24 * 24),
            quantities: Vec::clone(&quantities),
        };
        let usage: Vec<HourUsage> = [hours.start, Hour(hours.start.0 + 1), Hour(hours.end.0 - 1)]
            .map(of_hour)
            .into();
        let own = terms.books_for(tenant, month, &books)?;
        for line in rate_period(&own, &usage)? {
            sums.add(&own, tenant, &line)?;
        }
    }
    statement(Input {
        sums: &sums,
        books: &books,
        until: Hour(hours.end.0 - 1),
        terms,
        before: None,
        month,
        zone: &zone,
        grants: &[],
        late: &[],
        billed_ahead: &[],
    })
}

fn adds_up(made: &Statement) {
    let add = |of: Vec<Money>| {
        let mut of = of.into_iter();
        of.try_fold(Money::zero(made.currency), Money::checked_add)
            .expect("what was added before")
    };
    let lines = add(made.lines.iter().map(|it| it.amount).collect());
    assert_eq!(lines, made.subtotal, "lines are the subtotal");
    let off = made.discounts.iter().chain(&made.credits).map(|it| it.amount);
    let taxes = made.taxes.iter().filter(|it| !it.is_included).map(|it| it.amount);
    let due = add([lines].into_iter().chain(off).chain(taxes).collect());
    assert_eq!(due, made.total, "all that is printed is the total");
    let net = add(made.net.clone());
    let off = made.discounts.iter().chain(&made.credits).map(|it| it.amount);
    assert_eq!(
        add([lines].into_iter().chain(off).collect()),
        net,
        "what is left of lines"
    );
}

/// Words of HTTP queries and of command lines.
pub fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    drop(parse_hour(text));
    drop(parse_instant(text));
    drop(parse_decimal(text));
    drop(BillingZone::parse(text));
    for zone in ["UTC", "Asia/Shanghai", "America/New_York"] {
        let zone = BillingZone::parse(zone).expect("a zone");
        if let Ok(hours) = parse_period(text, &zone) {
            assert!(hours.start < hours.end, "a period has hours");
        }
    }
}

/// Values of the aggregator's tables, on a disk that lies.
pub fn store_values(data: &[u8]) {
    drop(OwnerHour::decode(data));
    drop(NodeHour::decode(data));
    if let Ok(day) = PackedDay::parse(data) {
        let mut sums = [0; DAY_HOURS];
        drop(day.columns(|column| {
            let _ = (column.dims(), column.add_to(&mut sums, column.hours));
            Ok(())
        }));
        let _ = day.nodes().count();
    }
    drop(Inference::decode(data));
    drop(Entry::decode(data));
    drop(Kept::decode(data));
    drop(decode_decision(data));
    drop(owner_of_key(data));
    drop(Marks::default().load(NodeId([1; 16]), data));
}
