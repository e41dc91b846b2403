// The type of a dashboard of streamapp: Grafana's own types, narrowed to Prometheus and to the kinds
// of panels that are drawn. What Grafana leaves open, as `Record<string, unknown>`, is closed here, so
// that a misspelt option is an error.
import type {
  AnnotationQuery,
  Dashboard,
  DataQuery,
  DataSourceRef,
  FieldConfig,
  FieldConfigSource,
  Panel,
  RowPanel,
} from "@grafana/schema";
import type { AnnotationTarget } from "@grafana/schema/dist/esm/raw/dashboard/x/Dashboard_types.gen";
import type * as heatmap from "@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen";
import type * as stat from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type * as timeline from "@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen";
import type * as table from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type * as timeseries from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

// The words of a query belong to the data source, and are no part of @grafana/schema; these are
// those of @grafana/prometheus 13, dataquery.ts.
interface PrometheusQuery extends DataQuery {
  datasource: DataSourceRef;
  expr: string;
  editorMode?: "code" | "builder";
  exemplar?: boolean;
  format?: "time_series" | "table" | "heatmap";
  instant?: boolean;
  interval?: string;
  legendFormat?: string;
  range?: boolean;
}

// The form in which an annotation of Prometheus is stored.
type PrometheusAnnotation = Omit<AnnotationQuery, "target"> & {
  datasource: DataSourceRef;
  target: AnnotationTarget & Omit<PrometheusQuery, "datasource">;
  titleFormat: string;
  textFormat: string;
};

type Of<Kind, Options, Custom> = Omit<Panel, "type" | "options" | "fieldConfig" | "targets"> & {
  type: Kind;
  options: Partial<Options>;
  fieldConfig: Omit<FieldConfigSource, "defaults"> & {
    defaults: Omit<FieldConfig, "custom"> & { custom?: Partial<Custom> };
  };
  targets: PrometheusQuery[];
};

type Drawn =
  | Of<"heatmap", heatmap.Options, heatmap.FieldConfig>
  | Of<"stat", stat.Options, never>
  | Of<"state-timeline", timeline.Options, timeline.FieldConfig>
  | Of<"table", table.Options, table.FieldConfig>
  | Of<"timeseries", timeseries.Options, timeseries.FieldConfig>
  | (Omit<RowPanel, "type"> & { type: "row" });

// A JSON file has the texts of an enumeration, where TypeScript wants its names.
type Json<T> = T extends string
  ? `${T}`
  : T extends (infer Item)[]
    ? Json<Item>[]
    : T extends object
      ? { [Key in keyof T]: Json<T[Key]> }
      : T;

export type Checked = Json<
  Omit<Dashboard, "panels" | "annotations"> & {
    panels: Drawn[];
    annotations: { list: PrometheusAnnotation[] };
  }
>;
