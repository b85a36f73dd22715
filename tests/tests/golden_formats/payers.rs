//! Samples of the decisions about sellers, paying accounts and terms.

use tallyman_aggregator_core::registry::{Account, Command, Seller};

use super::sample;

/// One of each.
pub fn commands() -> Vec<Command> {
    vec![
        Command::SetSeller(Box::new(seller())),
        Command::SetAccount(Box::new(account())),
        Command::SetTerms {
            account: "acme-group".to_owned(),
            text: "format = 1\n".to_owned(),
            from: sample::HOUR,
        },
    ]
}

fn seller() -> Seller {
    Seller {
        seller: "cloud".to_owned(),
        name: "云海存储有限公司".to_owned(),
        address: vec!["上海市".to_owned()],
        tax_id: Some("91310000".to_owned()),
        contact: vec!["billing@cloud.example".to_owned()],
        bank: vec!["6222 0000".to_owned()],
        prefix: "INV".to_owned(),
    }
}

fn account() -> Account {
    Account {
        account: "acme-group".to_owned(),
        organisation: Some("acme".to_owned()),
        name: "Acme Group".to_owned(),
        seller: "cloud".to_owned(),
        currency: "CNY".to_owned(),
        zone: "Asia/Shanghai".to_owned(),
        language: "zh".to_owned(),
        address: Vec::new(),
        tax_id: None,
        contact: Vec::new(),
        due_days: 30,
    }
}
