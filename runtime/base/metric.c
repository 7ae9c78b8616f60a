#include "base/metric.h"

const pl_metric_info pl_metric_list[] = {
#define X(name, help) {#name, help, offsetof(pl_metrics, name)},
    PL_METRICS(X)
#undef X
        {NULL, NULL, 0},
};
