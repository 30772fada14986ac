//! The table as a picture.

use std::fmt::Write;

use crate::Row;

/// Size of the picture, and of the margins around the plot, in pixels.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 55.0;

/// Colours that can be read on white and on black.
const GREY: &str = "#8b949e";
const RED: &str = "#e5534b";
const ORANGE: &str = "#c69026";
const GREEN: &str = "#2da44e";

/// Lines of the grid, at most.
const STEPS_MAX: f64 = 6.0;

/// A line of the chart.
struct Line {
    name: &'static str,
    colour: &'static str,
    /// Minutes and MB.
    points: Vec<(f64, f64)>,
}

/// The axes' ends.
struct Scale {
    minutes: f64,
    megabytes: f64,
}

impl Scale {
    fn x(&self, minutes: f64) -> f64 {
        LEFT + minutes / self.minutes * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, megabytes: f64) -> f64 {
        HEIGHT - BOTTOM - megabytes / self.megabytes * (HEIGHT - TOP - BOTTOM)
    }
}

/// Draws peaks by length.
pub(crate) fn svg(rows: &[Row]) -> String {
    let line = |name, colour, of: fn(&Row) -> f64| Line {
        name,
        colour,
        points: rows
            .iter()
            .map(|row| (f64::from(row.minutes), of(row) / 1e6))
            .collect(),
    };
    let lines = [
        line("whole file, peak", RED, |row| row.whole_file.peak),
        line("whole file, transcribing", ORANGE, |row| {
            row.whole_file.transcribing
        }),
        line("steadyscribe, peak", GREEN, |row| row.ours.peak),
    ];
    let most = |axis: fn(&(f64, f64)) -> f64| {
        let values = lines.iter().flat_map(|line| line.points.iter().map(axis));
        values.fold(1.0, f64::max)
    };
    let step = round_step(most(|point| point.1) / STEPS_MAX);
    let scale = Scale {
        minutes: most(|point| point.0),
        megabytes: (most(|point| point.1) / step).ceil() * step,
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\" fill=\"{GREY}\">\n"
    );
    let title = "Private memory by length of a 48 kHz stereo recording, without a model";
    text(&mut svg, (LEFT, 25.0), "start", title);
    axes(&mut svg, &scale, step, rows);
    for line in &lines {
        draw(&mut svg, &scale, line);
    }
    svg + "</svg>\n"
}

/// The next larger of 1, 2, 5, 10, 20, …
fn round_step(least: f64) -> f64 {
    let decade = 10_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * decade);
    steps.into_iter().find(|step| *step >= least).unwrap()
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, what: &str) {
    let text = format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{what}</text>");
    writeln!(svg, "{text}").unwrap();
}

fn axes(svg: &mut String, scale: &Scale, step: f64, rows: &[Row]) {
    let (left, right) = (scale.x(0.0), scale.x(scale.minutes));
    let mut megabytes = 0.0;
    while megabytes <= scale.megabytes {
        let y = scale.y(megabytes);
        let stroke = format!("stroke=\"{GREY}\" stroke-opacity=\"0.35\"");
        let line = format!("<path d=\"M{left:.1} {y:.1}H{right:.1}\" {stroke}/>");
        writeln!(svg, "{line}").unwrap();
        text(
            svg,
            (left - 8.0, y + 4.0),
            "end",
            &format!("{megabytes:.0}"),
        );
        megabytes += step;
    }
    text(svg, (left - 8.0, TOP - 10.0), "end", "MB");
    for row in rows {
        let x = scale.x(f64::from(row.minutes));
        let at = (x, scale.y(0.0) + 20.0);
        text(svg, at, "middle", &row.minutes.to_string());
    }
    let middle = ((left + right) / 2.0, HEIGHT - 12.0);
    text(svg, middle, "middle", "length of the recording, minutes");
}

fn draw(svg: &mut String, scale: &Scale, line: &Line) {
    let Line {
        name,
        colour,
        points,
    } = line;
    let places: Vec<(f64, f64)> = points
        .iter()
        .map(|(minutes, megabytes)| (scale.x(*minutes), scale.y(*megabytes)))
        .collect();
    let path: Vec<String> = places
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    let path = path.join(" ");
    writeln!(
        svg,
        "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\"/>"
    )
    .unwrap();
    for (x, y) in &places {
        writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>"
        )
        .unwrap();
    }
    if let (Some((x, y)), Some((_, megabytes))) = (places.last(), points.last()) {
        let (x, colour) = (x + 10.0, format!("fill=\"{colour}\""));
        writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\" {colour}>{name}</text>\n\
             <text x=\"{x:.1}\" y=\"{:.1}\" {colour}>{megabytes:.0} MB</text>",
            y - 8.0,
            y + 7.0
        )
        .unwrap();
    }
}
