//! The figures of one moment, as the page shows them.

use serde::Serialize;

use super::context::Context;
use crate::alert::Notice;
use crate::component::Component;
use crate::gauge::GaugeValue;
use crate::model::Model;
use crate::report::{self, MemoryAlert, MemoryUsageReport};

/// Everything that the page shows of one moment.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StateView {
    usage: MemoryUsageReport,
    alerts: Vec<MemoryAlert>,
    recovered: Vec<Notice>,
    pipelines: Vec<Pipeline>,
    models: Vec<ReportedModel>,
}

/// The gauges of one pipeline.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pipeline {
    component: Component,
    gauges: Vec<GaugeValue>,
}

/// A model and the component that has loaded it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReportedModel {
    component: Component,
    #[serde(flatten)]
    model: Model,
}

/// The state as of the last sample.
pub(super) fn state(context: &Context) -> StateView {
    let (usage, alerts) = context
        .monitor
        .with(|tracker| (MemoryUsageReport::new(tracker), report::alerts(tracker)));
    StateView {
        usage,
        alerts,
        recovered: context.stream.recovered(),
        pipelines: pipelines(context),
        models: models(context),
    }
}

pub(super) fn pipelines(context: &Context) -> Vec<Pipeline> {
    let publishers = context.monitor.publishers();
    publishers
        .iter()
        .map(|(_, gauges)| Pipeline {
            component: gauges.component(),
            gauges: gauges.snapshot(),
        })
        .collect()
}

pub(super) fn models(context: &Context) -> Vec<ReportedModel> {
    context.monitor.with(|tracker| {
        let of = |component| {
            tracker
                .models(component)
                .iter()
                .cloned()
                .map(move |model| ReportedModel { component, model })
        };
        Component::ALL.into_iter().flat_map(of).collect()
    })
}
