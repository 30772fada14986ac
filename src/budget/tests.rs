use super::*;

fn engine(model_mb: u64, state_mb: u64, flash_attention: bool) -> Footprint {
    Footprint {
        model_bytes: model_mb * 1_000_000,
        state_bytes: state_mb * 1_000_000,
        window_bytes: 4_000_000,
        flash_attention,
        ..Footprint::default()
    }
}

fn plan(config: &Config, engine: &[Footprint]) -> Result<Plan, ConfigError> {
    Plan::new(config, engine)
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
        let plan = plan(config, &[engine(10, 20, false)]).expect("no budget");
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
fn the_first_footprint_that_fits_is_chosen() {
    let ways = [engine(100, 80, false), engine(100, 30, true)];
    let peak = |way| {
        plan(&Config::default(), &[way])
            .expect("no budget")
            .peak_bytes()
    };
    let (whole, flash) = (peak(ways[0]), peak(ways[1]));
    let chosen =
        |config: &Config| plan(config, &ways).map(|plan| plan.chosen().flash_attention);
    assert_eq!(chosen(&Config::default()), Ok(false));
    assert_eq!(chosen(&with_budget(whole)), Ok(false));
    assert_eq!(chosen(&with_budget(whole - 1)), Ok(true));
    assert_eq!(chosen(&with_budget(flash)), Ok(true));
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
            .map(|(name, mb)| Alternative::new(name.into(), mb * 1_000_000))
            .into()
    });
    let way = Footprint {
        smaller: &SMALLER,
        ..engine(100, 30, true)
    };
    let needed = plan(&Config::default(), &[way])
        .expect("no budget")
        .peak_bytes();
    for (budget_mb, says) in [
        (
            needed / 1_000_000,
            "a shorter window or a smaller pool would fit: save ",
        ),
        (100, "the model base-q5_1 would fit with 69.0 MB"),
        (60, "the model tiny-q5_1 would fit with 49.0 MB"),
        (5, "no model fits, give at least 49.0 MB"),
    ] {
        let error = plan(&with_budget(budget_mb * 1_000_000), &[way]).expect_err("too small");
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
    let way = engine(100, 30, true);
    assert!(plan(&with_budget(0), &[way]).is_err());
    assert!(plan(&with_budget(u64::MAX), &[way]).is_ok());
    let invalid = Config {
        pool_blocks: 0,
        ..Config::default()
    };
    assert!(matches!(
        plan(&invalid, &[way]),
        Err(ConfigError::OutOfRange { .. })
    ));
}

#[test]
fn the_table_sums_up() {
    let table = plan(&with_budget(200_000_000), &[engine(100, 30, true)])
        .expect("fits")
        .to_string();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "model                       100.0 MB");
    assert_eq!(lines[7], "held                        135.0 MB");
    assert_eq!(lines[8], "at most, in a window        139.0 MB");
    assert_eq!(lines[9], "budget                      200.0 MB");
    assert_eq!(lines[11], "attention                      flash");
}
