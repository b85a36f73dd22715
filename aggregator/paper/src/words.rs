//! Every fixed word of a document in both languages, side by side. It must not know where a word stands.

/// Words of one language. `{0}`, `{1}` are places for values, filled by [`fill`].
macro_rules! words {
    ($($name:ident: $en:literal | $zh:literal,)*) => {
        pub(crate) struct Words { $(pub(crate) $name: &'static str,)* }
        static EN: Words = Words { $($name: $en,)* };
        static ZH: Words = Words { $($name: $zh,)* };
    };
}

words! {
    // For programs that read documents aloud.
    tag: "en" | "zh-CN",
    // An invoice is not called 发票: that is the tax office's own paper, which has a number of its own.
    invoice: "Invoice" | "账单",
    credit_note: "Credit note" | "贷项通知单",
    debit_note: "Debit note" | "借项通知单",
    draft: "DRAFT" | "草稿",
    draft_means: "Not issued, not a demand for payment" | "尚未出具，不作为付款依据",
    // Facts.
    number: "Number" | "编号",
    issued: "Issue date" | "出具日期",
    due: "Due date" | "付款截止日期",
    corrects: "Corrects invoice" | "更正的账单",
    reason: "Reason" | "更正原因",
    period: "Period" | "计费周期",
    zone: "Time zone" | "时区",
    currency: "Currency" | "币种",
    external_tax_number: "Tax invoice no." | "税务发票号码",
    tax_id: "Tax ID: {0}" | "纳税人识别号：{0}",
    account_key: "Account: {0}" | "账户：{0}",
    from: "From" | "开具方",
    to: "Bill to" | "付款方",
    // Tables.
    line: "No." | "序号",
    item: "Item" | "项目",
    quantity: "Quantity" | "数量",
    unit: "Unit" | "单位",
    unit_price: "Unit price" | "单价",
    amount: "Amount ({0})" | "金额（{0}）",
    usage: "Usage" | "用量",
    subscription: "Subscription" | "订阅",
    commitment: "Commitment" | "承诺用量",
    adjustment: "Correction" | "更正",
    adjustment_of: "Correction of {0}" | "更正 {0}",
    section_subtotal: "Subtotal" | "小计",
    continued: "{0} (continued)" | "{0}（续）",
    tax_class: "Tax class: {0}" | "税目：{0}",
    tier_first: "up to {1}" | "不超过 {1}",
    tier_middle: "over {0} to {1}" | "超过 {0} 至 {1}",
    tier_open: "over {0}" | "超过 {0}",
    tier_all: "all units" | "全部用量",
    no_lines: "No charges in this period." | "本周期内没有费用。",
    // Sums.
    subtotal: "Subtotal" | "合计",
    discount_of: "{0} of {1}" | "{1} 的 {0}",
    tax_on: "on {0}" | "计税依据 {0}",
    tax_included: "Included in the total: {0}" | "总额中已含：{0}",
    total_due: "Total due" | "应付总额",
    total_credited: "Total credited" | "贷记总额",
    due_by: "due by {0}" | "请于 {0} 前支付",
    // Completeness.
    coverage: "Completeness of usage" | "用量数据完整性",
    complete: "Complete: all {0} expected node-minutes were received." | "完整：应收 {0} 节点分钟，已全部收到。",
    incomplete: "Not complete: {1} of {0} expected node-minutes were received." | "不完整：应收 {0} 节点分钟，实收 {1} 节点分钟。",
    held: "Held for a decision, not in the total: {0} node-minutes." | "待核定、未计入总额：{0} 节点分钟。",
    inferred: "Partly inferred across holes: {0}." | "部分用量按缺口前后推算：{0}。",
    node: "Node" | "节点",
    hole: "Missing from – to" | "缺失时段",
    minutes: "Minutes" | "分钟",
    faults: "Could not be rated, not in the total" | "无法计费、未计入总额",
    // Notes.
    notes: "Notes" | "说明",
    half_up: "Each line is rounded once to the smallest unit of {0}, halves away from zero. Totals are sums of rounded lines; amounts of tiers are shown unrounded." | "每行金额按 {0} 最小货币单位四舍五入一次；合计为各行舍入后金额之和，阶梯金额为未舍入值。",
    rounding: "Rounding: {0}. Totals are sums of rounded lines." | "舍入规则：{0}。合计为各行舍入后金额之和。",
    order: "Made in this order: {0}." | "计算顺序：{0}。",
    step_usage: "usage" | "用量",
    step_minimum_maximum: "minimums and maximums" | "最低与封顶",
    step_surcharges: "surcharges" | "附加费",
    step_discounts: "discounts" | "折扣",
    step_commitment: "commitment" | "承诺消费",
    step_subscription: "subscription" | "套餐",
    step_coupons: "coupons" | "优惠券",
    step_adjustments: "corrections of earlier months" | "往期更正",
    step_credits: "credits" | "赠送金",
    step_tax: "tax" | "税",
    price_book: "Price book {0}, in force from {1}, SHA-256 {2}…" | "价目表 {0}，自 {1} 起生效，SHA-256 {2}…",
    position: "Made at position {0} of the usage log; document {1}." | "依据用量日志位置 {0} 生成；文档标识 {1}。",
    payment: "Payment details" | "收款信息",
    reference: "Reference: {0}" | "付款附言：{0}",
    // Between two ends of a time or two values.
    until: "{0} to {1}" | "{0} 至 {1}",
    list: ", " | "、",
}

/// The words of `language`; English for every language that is not Chinese.
pub(crate) fn words(language: &str) -> &'static Words {
    if is_chinese(language) { &ZH } else { &EN }
}

/// True for `zh` and what stands below it, such as `zh-CN`.
pub(crate) fn is_chinese(language: &str) -> bool {
    language.split(['-', '_']).next() == Some("zh")
}

/// Puts values into their places, in one pass: what a value contains is never taken for a place.
pub(crate) fn fill(template: &str, values: &[&str]) -> String {
    let mut parts = template.split('{');
    let mut text = parts.next().map(str::to_owned).unwrap_or_default();
    for part in parts {
        let place = part.split_once('}');
        let value = place.and_then(|(n, rest)| Some((values.get(n.parse::<usize>().ok()?)?, rest)));
        let (value, rest) = value.expect("a place has a value: both stand in this program");
        text.push_str(value);
        text.push_str(rest);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_taken_for_places() {
        assert_eq!(fill("{1} / {0}!", &["{1}", "b"]), "b / {1}!");
        assert_eq!(fill("plain", &[]), "plain");
    }

    #[test]
    fn chinese_is_chinese_and_all_else_english() {
        for (language, number) in [
            ("zh", "编号"),
            ("zh-CN", "编号"),
            ("en", "Number"),
            ("de", "Number"),
        ] {
            assert_eq!(words(language).number, number, "{language}");
        }
    }
}
