//! Arguments of the `ollama` commands.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use steadyscribe_monitor::ollama::{Host, KvType, PlanOptions};

/// Largest context that `auto` requests, in tokens: enough for the transcript of a long meeting.
pub(super) const CTX_MAX_AUTO: u32 = 131_072;

/// Arguments that all commands share.
#[derive(Debug, Args)]
pub(crate) struct OllamaArgs {
    #[command(subcommand)]
    pub(super) action: Action,
    /// Print JSON, one object on each line
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Address of the server [default: OLLAMA_HOST, or 127.0.0.1:11434]
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub(super) host: Option<Host>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Show the memory of every model, as claimed by the server and as measured
    Status,
    /// Show which context fits into memory, without loading the model. Prints JSON unless the
    /// output is a terminal
    Plan(PlanArgs),
    /// Load a model with a context that fits
    Load {
        /// Name of the model
        model: String,
        /// Context in tokens, or `auto` for the largest that fits
        #[arg(
            long,
            default_value = "auto",
            value_name = "N|auto",
            value_parser = parse_num_ctx
        )]
        num_ctx: NumCtx,
    },
    /// Unload a model, and verify that its memory is free again
    Unload {
        /// Name of the model
        #[arg(required_unless_present = "all")]
        model: Option<String>,
        /// Unload every model, including those of other programs and those whose server has ended
        #[arg(long, conflicts_with = "model")]
        all: bool,
        /// Kill a process that is stuck or whose server has ended. A job of another program that
        /// uses it is lost
        #[arg(long)]
        allow_kill: bool,
        /// Seconds to wait for each model
        #[arg(
            long,
            default_value_t = 30,
            value_name = "SECONDS",
            value_parser = clap::value_parser!(u64).range(1..=3600)
        )]
        wait: u64,
    },
    /// Show the status repeatedly
    Watch {
        /// Seconds between two reports
        #[arg(
            long,
            default_value_t = 5,
            value_name = "SECONDS",
            value_parser = clap::value_parser!(u64).range(1..)
        )]
        interval: u64,
        /// Number of reports [default: no limit]
        #[arg(long, value_name = "N")]
        count: Option<u64>,
    },
}

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// Name of the model
    #[arg(required_unless_present = "show_file")]
    pub(super) model: Option<String>,
    /// Memory to plan for, such as 4GiB, 600MB or a number of bytes [default: the available memory
    /// of the machine without the reserve]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub(super) available: Option<u64>,
    /// Saved response of /api/show, with the model's "size" beside "model_info". The server is not
    /// queried
    #[arg(long, value_name = "FILE")]
    pub(super) show_file: Option<PathBuf>,
    /// Type of the server's KV cache: f16, q8_0 or q4_0
    #[arg(long, default_value = "f16", value_name = "TYPE")]
    pub(super) kv_type: KvType,
    /// Largest useful context, in tokens
    #[arg(long, default_value_t = CTX_MAX_AUTO, value_name = "N")]
    pub(super) ctx_max: u32,
    /// Smallest useful context, in tokens
    #[arg(long, default_value_t = PlanOptions::default().ctx_min, value_name = "N")]
    pub(super) ctx_min: u32,
    /// Plan for mapped weights
    #[arg(long)]
    pub(super) mmap: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum NumCtx {
    Auto,
    Fixed(u32),
}

fn parse_num_ctx(text: &str) -> Result<NumCtx, String> {
    if text == "auto" {
        return Ok(NumCtx::Auto);
    }
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a number of tokens, or `auto`".to_owned()),
        Ok(num_ctx) => Ok(NumCtx::Fixed(num_ctx)),
    }
}

/// Parses `4GiB`, `4G` (the same), `4GB` (decimal), `1.5 GiB`, or a plain number of bytes.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and the number is not negative"
)]
fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number
        .parse()
        .map_err(|_| format!("expected a number of bytes such as 4GiB, not `{text}`"))?;
    let factor: f64 = match unit.trim().to_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1_048_576.0,
        "g" | "gib" => 1_073_741_824.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        unit => {
            return Err(format!(
                "unknown unit `{unit}`; expected KiB, MiB, GiB, kB, MB or GB"
            ));
        }
    };
    Ok((number * factor) as u64)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        _args: OllamaArgs,
    }

    #[test]
    fn sizes_are_parsed_with_their_units() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(parse_bytes(text).ok(), expected, "{text}")
        };
        check("4GiB", Some(4 << 30));
        check("1.5 GiB", Some(3 << 29));
        check("600M", Some(600 << 20));
        check("4GB", Some(4_000_000_000));
        check("12345", Some(12345));
        check("GiB", None);
        check("4TB", None);
        check("-1", None);
    }

    #[test]
    fn invalid_arguments_are_rejected() {
        for line in [
            &["x", "plan"][..],
            &["x", "unload"],
            &["x", "load", "m", "--num-ctx", "0"],
        ] {
            assert!(Program::try_parse_from(line).is_err(), "{line:?}");
        }
    }
}
