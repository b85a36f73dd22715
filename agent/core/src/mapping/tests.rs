//! Who pays, as a table: label, label of the image, name, cgroup path → owner.

use super::*;

fn rules() -> Mapping {
    let rule = |when, owner: &str| Rule {
        when,
        owner: owner.to_owned(),
    };
    let label = |key: &str, value: &str| When::Label {
        key: key.to_owned(),
        value: value.to_owned(),
    };
    Mapping {
        label: "tallyman.tenant".to_owned(),
        rules: vec![
            rule(label("com.example.customer", "c-*"), "customer-$1"),
            rule(When::Name("build-*".to_owned()), "ci"),
            rule(When::Cgroup("/tenants.slice/tenants-*.slice/**".to_owned()), "$1"),
            rule(When::Cgroup("/bad/*".to_owned()), " $1"),
        ],
    }
}

fn labels(text: &str) -> BTreeMap<String, String> {
    text.split_whitespace()
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn who_pays() {
    let table = [
        // container's labels, image's labels, name, path, owner
        ("tallyman.tenant=acme", "", "web", "/docker/1", "acme"),
        (
            "tallyman.tenant=acme",
            "tallyman.tenant=acme",
            "web",
            "/docker/1",
            "unattributed",
        ),
        (
            "tallyman.tenant=acme",
            "tallyman.tenant=acme",
            "build-7",
            "/docker/1",
            "ci",
        ),
        (
            "tallyman.tenant=acme",
            "tallyman.tenant=other",
            "web",
            "/docker/1",
            "acme",
        ),
        ("com.example.customer=c-17", "", "web", "/docker/1", "customer-17"),
        (
            "com.example.customer=c-17",
            "com.example.customer=c-17",
            "web",
            "/docker/1",
            "unattributed",
        ),
        (
            "tallyman.tenant=acme com.example.customer=c-1",
            "",
            "build-7",
            "/docker/1",
            "acme",
        ),
        ("", "", "x", "/tenants.slice/tenants-blue.slice", "blue"),
        ("", "", "x", "/tenants.slice/tenants-blue.slice/app.scope", "blue"),
        ("", "", "x", "/bad/name", "unattributed"),
        ("", "", "x", "/system.slice/ssh.service", "unattributed"),
    ];
    for (own, image, name, path, owner) in table {
        let (own, image) = (labels(own), labels(image));
        let subject = Subject {
            path,
            name,
            labels: Some((&own, &image)),
        };
        let (found, _) = rules().owner_of(&subject);
        assert_eq!(found.to_string(), owner, "{own:?} {image:?} {name} {path}");
    }
}

#[test]
fn a_label_can_not_claim_the_host_and_a_bad_one_is_told() {
    let own = labels("tallyman.tenant=host");
    let image = BTreeMap::new();
    let subject = Subject {
        path: "/docker/1",
        name: "web",
        labels: Some((&own, &image)),
    };
    let (owner, warning) = Mapping::default().owner_of(&subject);
    assert_eq!((owner, warning), (Owner::Claim("host".into()), None));
    let own: BTreeMap<_, _> = [("tallyman.tenant".to_owned(), " a".to_owned())].into();
    let subject = Subject {
        labels: Some((&own, &image)),
        ..subject
    };
    let (owner, warning) = Mapping::default().owner_of(&subject);
    assert_eq!(owner, Owner::Unattributed);
    assert!(warning.unwrap().contains("white space"));
}

#[test]
fn rules_are_checked() {
    assert_eq!(rules().check(), Ok(()));
    let mut bad = rules();
    bad.rules[1].owner = "$1$2".to_owned();
    assert_eq!(
        bad.check().unwrap_err().to_string(),
        "mapping rule 2: `$1$2` uses $2, but `build-*` has 1 `*`"
    );
    bad.rules[1].owner = String::new();
    assert!(bad.check().is_err());
    bad.rules[1].when = When::Name("a[b]".to_owned());
    assert!(bad.check().is_err());
}
