// The options that a field may have. Grafana registers them in its application, which is in no library.
import { FieldConfigOptionsRegistry, applyFieldOverrides, identityOverrideProcessor } from '@grafana/data';

const STANDARD = [
  'color', 'decimals', 'description', 'displayName', 'fieldMinMax', 'links', 'mappings', 'max', 'min', 'noValue',
  'thresholds', 'unit',
];
// with what Grafana's own panel assumes where a dashboard is silent
const OF_A_TIME_SERIES = {
  axisBorderShow: false,
  axisColorMode: 'text',
  axisGridShow: true,
  axisLabel: '',
  axisPlacement: 'auto',
  axisSoftMax: undefined,
  axisSoftMin: undefined,
  barAlignment: 0,
  drawStyle: 'line',
  fillOpacity: 0,
  gradientMode: 'none',
  hideFrom: { legend: false, tooltip: false, viz: false },
  lineInterpolation: 'linear',
  lineStyle: { fill: 'solid' },
  lineWidth: 1,
  pointSize: 5,
  scaleDistribution: { type: 'linear' },
  showPoints: 'auto',
  spanNulls: false,
  stacking: { mode: 'none', group: 'A' },
  thresholdsStyle: { mode: 'off' },
};

const registry = new FieldConfigOptionsRegistry(() => [
  ...STANDARD.map((path) => option(path)),
  ...Object.keys(OF_A_TIME_SERIES).map((path) => option(path, true)),
]);

function option(path, isCustom = false) {
  const id = isCustom ? `custom.${path}` : path;
  return { id, path, isCustom, name: path, process: identityOverrideProcessor, shouldApply: () => true };
}

export function withDefaults({ type, fieldConfig: { defaults, overrides } }) {
  const thresholds = defaults.thresholds && {
    ...defaults.thresholds,
    steps: defaults.thresholds.steps.map((step) => ({ ...step, value: step.value ?? -Infinity })),
  };
  const custom = type === 'timeseries' ? { ...OF_A_TIME_SERIES, ...defaults.custom } : {};
  return { defaults: { ...defaults, thresholds, custom }, overrides };
}

export function applied(fieldConfig, { data, theme, timeZone }) {
  const replaceVariables = (text) => text;
  return applyFieldOverrides({ data, fieldConfig, fieldConfigRegistry: registry, replaceVariables, theme, timeZone });
}
