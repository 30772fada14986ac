use super::*;

const MB: u64 = 1_000_000;

fn variant(id: &str, model_mb: u64, state_mb: u64) -> Variant {
    let footprint = Footprint {
        model_bytes: model_mb * MB,
        state_bytes: state_mb * MB,
        window_bytes: 4 * MB,
        ..Footprint::default()
    };
    Variant::new(id, footprint)
}

fn plan(config: &Config, variants: &[Variant]) -> Result<Plan, ConfigError> {
    Plan::new(config, variants, 1)
}

fn with_budget(bytes: u64) -> Config {
    Config {
        memory_budget_bytes: Some(bytes),
        ..Config::default()
    }
}

#[test]
fn buffers_follow_the_configuration() {
    let part = |config: &Config, name| {
        let plan = plan(config, &[variant("", 10, 20)]).expect("no budget");
        plan.parts()
            .iter()
            .find(|part| part.0 == name)
            .expect("a part")
            .1
    };
    let mut config = Config::default();
    assert_eq!(part(&config, "window"), 31 * 16_000 * 4);
    assert_eq!(part(&config, "pool"), 16 * 32_000);
    assert_eq!(part(&config, "model"), 10_000_000);
    config.window_s = 5.0;
    config.pool_blocks = 2;
    assert_eq!(part(&config, "window"), 6 * 16_000 * 4);
    assert_eq!(part(&config, "pool"), 64_000);
}

#[test]
fn the_first_variant_that_fits_is_chosen() {
    let variants = [variant("full", 100, 80), variant("flash", 100, 30)];
    let peak = |variant: &Variant| {
        plan(&Config::default(), std::slice::from_ref(variant))
            .expect("no budget")
            .peak_bytes()
    };
    let (full, flash) = (peak(&variants[0]), peak(&variants[1]));
    let chosen = |config: &Config| plan(config, &variants).map(|plan| plan.variant().id.clone());
    assert_eq!(chosen(&Config::default()), Ok("full".into()));
    assert_eq!(chosen(&with_budget(full)), Ok("full".into()));
    assert_eq!(chosen(&with_budget(full - 1)), Ok("flash".into()));
    assert_eq!(chosen(&with_budget(flash)), Ok("flash".into()));
    let Err(ConfigError::Budget {
        needed_bytes,
        budget_bytes,
        ..
    }) = chosen(&with_budget(flash - 1))
    else {
        panic!("fits")
    };
    assert_eq!((needed_bytes, budget_bytes), (flash, flash - 1));
}

#[test]
fn a_refusal_names_what_would_fit() {
    static SMALLER: std::sync::LazyLock<Vec<Alternative>> = std::sync::LazyLock::new(|| {
        [("large", 3_000), ("base-q5_1", 60), ("tiny-q5_1", 40)]
            .map(|(name, mb)| Alternative::new(name.into(), mb * MB))
            .into()
    });
    let variants = [Variant {
        alternatives: &SMALLER,
        ..variant("flash", 100, 30)
    }];
    let needed = plan(&Config::default(), &variants)
        .expect("no budget")
        .peak_bytes();
    for (budget_mb, says) in [
        (
            needed / MB,
            "a shorter window or a smaller pool would fit: save ",
        ),
        (100, "the model base-q5_1 would fit with 69.0 MB"),
        (60, "the model tiny-q5_1 would fit with 49.0 MB"),
        (5, "no model fits: set a budget of at least 49.0 MB"),
    ] {
        let error = plan(&with_budget(budget_mb * MB), &variants).expect_err("too small");
        let message = error.to_string();
        assert!(message.contains(says), "{message}");
        assert!(
            message.contains(&format!("the budget is {budget_mb} MB")),
            "{message}"
        );
        let parts = "largest parts: model 100.0 MB, engine state 30.0 MB, window 2.0 MB";
        assert!(message.contains(parts), "{message}");
    }
}

#[test]
fn a_budget_of_nothing_and_of_everything_are_answered() {
    let variants = [variant("flash", 100, 30)];
    assert!(plan(&with_budget(0), &variants).is_err());
    assert!(plan(&with_budget(u64::MAX), &variants).is_ok());
    let invalid = Config {
        pool_blocks: 0,
        ..Config::default()
    };
    assert!(matches!(
        plan(&invalid, &variants),
        Err(ConfigError::OutOfRange { .. })
    ));
}

#[test]
fn the_table_sums_up() {
    let table = plan(
        &with_budget(200 * MB),
        &[variant("flash attention", 100, 30)],
    )
    .expect("fits")
    .to_string();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "model                       100.0 MB");
    assert_eq!(lines[7], "held                        135.0 MB");
    assert_eq!(lines[8], "at most, in a window        139.0 MB");
    assert_eq!(lines[9], "budget                      200.0 MB");
    assert_eq!(lines[11], "variant              flash attention");
}

/// Ten transcribers, a state of 100 MB or of 50 MB.
fn shared(budget_bytes: Option<u64>, transcribers: usize) -> Result<Plan, ConfigError> {
    let config = Config {
        memory_budget_bytes: budget_bytes,
        ..Config::default()
    };
    let variants = [variant("full", 100, 96), variant("flash", 100, 46)];
    Plan::new(&config, &variants, transcribers)
}

#[test]
fn without_a_budget_each_transcriber_has_a_state() {
    for (transcribers, states) in [(0, 1), (1, 1), (10, 10)] {
        let plan = shared(None, transcribers).expect("no budget");
        assert_eq!(plan.states(), states);
        assert_eq!(plan.transcribers(), states);
    }
}

/// With every budget that admits anything: never more than it, and no state more would fit.
#[test]
fn states_go_as_far_as_the_budget() {
    let mut seen = std::collections::BTreeSet::new();
    for budget in (150..1_300).map(|mb| mb * MB) {
        let Ok(plan) = shared(Some(budget), 10) else {
            assert!(budget < 196 * MB, "{budget}");
            continue;
        };
        assert!(plan.peak_bytes() <= budget, "{plan:?}");
        let one_more = plan.peak_bytes() + plan.peak_of_a_state();
        assert!(one_more > budget || plan.states() == 10, "{plan:?}");
        seen.insert((plan.variant().id.clone(), plan.states()));
    }
    // The frugal variant only where the other one does not fit at all.
    let full = (1..=10).map(|states| ("full".to_owned(), states));
    assert_eq!(seen, full.chain([("flash".to_owned(), 1)]).collect());
}

#[test]
fn a_refusal_says_how_many_transcribers_would_fit() {
    let message = |budget: u64, transcribers| {
        let error = shared(Some(budget), transcribers).expect_err("too small");
        error.to_string()
    };
    let found = message(170 * MB, 10);
    assert!(found.contains("the budget is 170 MB"), "{found}");
    assert!(found.ends_with("4 transcribers would fit"), "{found}");
    let found = message(100 * MB, 2);
    assert!(found.contains("set a budget of at least"), "{found}");
}
