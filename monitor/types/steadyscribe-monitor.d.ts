// The JSON of steadyscribe-monitor: of its command, its dashboard and its reports.
// Amounts are bytes unless the name has another unit. Times are ISO 8601 unless it ends in UnixMs.
// A figure that is `null` is unknown; the field of its name that ends in `Unknown` has the reason.
// `tests/it/types.rs` compares this file with the JSON of the program.

/** The methods of `monitor::Monitor`, in Rust with underscores. */
export interface MemoryMonitor {
  getCurrentUsage(): Promise<MemoryUsageReport>
  getComponentUsage(component: ComponentType): Promise<ComponentMemoryUsage>
  startContinuousMonitoring(intervalMs: number): Promise<void>
  setMemoryThresholds(thresholds: MemoryThresholds): Promise<void>
  generateMemoryReport(): Promise<MemoryAnalysisReport>
}

export type ComponentType =
  'Ollama' | 'Audio' | 'Frontend' | 'Backend' | 'Monitor' | 'Unattributed'
export type PressureLevel = 'Unknown' | 'Low' | 'Medium' | 'High' | 'Critical'
export type Severity = 'Info' | 'Warning' | 'Critical'
export type Trend = 'Unknown' | 'Stable' | 'Growing' | 'Shrinking'
export type Verdict = 'none' | 'suspected' | 'confirmed'
export type Cause = 'held' | 'fragmentation'
export type AlertKind =
  'pressure' | 'budget' | 'limit' | 'growing' | 'leak' | 'meetingLeak' | 'blind'
/** Composition of private bytes; `residentLessShared` and `resident` are estimates. */
export type Basis = 'anonShmemSwap' | 'residentLessShared' | 'resident' | 'privateCommit'
/** A component, or "System" for the machine or the app as a whole. */
export type Subject =
  'Ollama' | 'Audio' | 'Frontend' | 'Backend' | 'Monitor' | 'Unattributed' | 'System'

/** Available bytes below which a level begins. */
export interface MemoryThresholds {
  mediumBytes: number
  highBytes: number
  criticalBytes: number
}

/** `snapshot --json`, `GET /api/v1/usage`. */
export interface MemoryUsageReport {
  timestamp: string
  totalSystemMemory: number | null
  totalSystemMemoryUnknown: string | null
  availableMemory: number | null
  availableMemoryUnknown: string | null
  swapUsage: number | null
  /** The sum of the breakdown. */
  meetilyTotalUsage: number | null
  meetilyTotalUsageUnknown: string | null
  /** What the app may use in all; null: as much as there is. */
  budget: number | null
  componentBreakdown: ComponentMemoryUsage[]
  /** Of the machine. An exceeded budget does not change it. */
  memoryPressureLevel: PressureLevel
  memoryPressureReason: string | null
  recommendations: OptimizationRecommendation[]
  basis: Basis | null
  estimated: boolean
  /** Why figures are missing or estimated. */
  reasons: string[]
}

export interface ComponentMemoryUsage {
  component: ComponentType
  currentUsage: number | null
  currentUsageUnknown: string | null
  peakUsage: number | null
  averageUsage: number | null
  memoryTrend: Trend
  resident: number | null
  reclaimable: number | null
  proportional: number | null
  processes: number
  /** Null: it has none. */
  limit: number | null
  estimated: boolean
  basis: Basis | null
  leak: LeakFinding
  meetingLeak: LeakFinding
}

/** MB are 1,000,000 bytes. */
export interface LeakFinding {
  verdict: Verdict
  rateMbPerHour: number | null
  rateIntervalMbPerHour: [number, number] | null
  grownMb: number
  hours: number
  cause: Cause | null
  evidence: string
}

export interface OptimizationRecommendation {
  component: Subject
  severity: Severity
  reason: string
  /** Actions that were taken already; empty: none. */
  done: string
  action: string
}

/** `GET /api/v1/alerts`. */
export interface MemoryAlert {
  severity: Severity
  kind: AlertKind
  component: Subject
  message: string
  /** Actions that were taken; empty: none. */
  done: string
  recommendation: string
  timestamp: string
  autoResolved: boolean
  acknowledged: boolean
  value: number
  threshold: number
}

/** `report --format json`, `GET /api/v1/report`. */
export interface MemoryAnalysisReport {
  usage: MemoryUsageReport
  alerts: MemoryAlert[]
  potentialLeaks: ComponentType[]
  history: Course[]
}

/** `GET /api/v1/history?span=tenMinutes|twoHours|sevenDays`: an array of these. */
export interface Course {
  /** A component, "Total" or "Available". */
  name: string
  points: Point[]
}

export interface Point {
  /** Start of the step, by a clock that never goes back. */
  steadyMs: number
  minBytes: number
  maxBytes: number
  meanBytes: number
}

/** `GET /api/v1/metrics`. */
export interface MemoryMetrics {
  timestamp: string
  systemMemory: SystemMemoryMetrics
  componentMemory: ComponentMemoryMetrics
  optimizationStatus: OptimizationStatus
  alerts: MemoryAlert[]
}

export interface SystemMemoryMetrics {
  totalMemory: number | null
  availableMemory: number | null
  usedMemory: number | null
  /** The used part, 0 to 1. */
  memoryPressure: number | null
  swapUsage: number | null
}

export interface ComponentMemoryMetrics {
  ollama: ComponentMetric
  audio: ComponentMetric
  frontend: ComponentMetric
  backend: ComponentMetric
  monitor: ComponentMetric
  unattributed: ComponentMetric
}

export interface ComponentMetric {
  currentUsage: number | null
  peakUsage: number | null
  averageUsage: number | null
  /** Requested savings: 0 nothing, 1 caches, 2 everything idle, 3 as much as possible. */
  optimizationLevel: number
  /** Bytes that it needs, divided by those that it holds, 0 to 1. */
  efficiencyScore: number | null
}

export interface OptimizationStatus {
  memoryPressureLevel: PressureLevel
  active: boolean
  /** Actions that were taken against the open alerts. */
  actions: string[]
}

/** `GET /api/v1/state` and the event `state` of `GET /api/v1/stream`. */
export interface State {
  usage: MemoryUsageReport
  alerts: MemoryAlert[]
  /** Critical, of before the start, and not acknowledged yet. */
  recovered: Notice[]
  pipelines: Pipeline[]
  models: ReportedModel[]
}

/** `GET /api/v1/pipelines`: an array of these. */
export interface Pipeline {
  component: ComponentType
  gauges: Gauge[]
}

export interface Gauge {
  name: string
  unit: 'heldBytes' | 'bytes' | 'count' | 'ratio'
  value: number
}

/** `GET /api/v1/models`: an array of these. They are claims of a component, not measured. */
export interface ReportedModel {
  component: ComponentType
  name: string
  ramBytes: number | null
  gpuBytes: number | null
  contextTokens: number | null
  busy: boolean | null
  unloadUnixMs: number | null
}

/** The event `alert` of `GET /api/v1/stream`, and `STEADYSCRIBE_ALERT` of a program that is run. */
export interface Notice {
  /** Rising. */
  id: number
  key: AlertKey
  event: 'raised' | 'repeated' | 'resolved' | 'recovered'
  severity: Severity
  unixMs: number
  /** Whether it may interrupt the user. */
  loud: boolean
  facts: Facts
}

/** The body of `POST /api/v1/alerts/acknowledge`. */
export interface AlertKey {
  kind: AlertKind
  component: ComponentType | null
}

export interface Facts {
  value: number
  threshold: number
  reason: string
  done: string
  advice: string
}

/** A line of `analyze`. */
export interface Analysis {
  component: string
  verdict: Verdict
  rateMbPerHour: number | null
  rateIntervalMbPerHour: [number, number] | null
  trend: Trend
  evidence: string
}
