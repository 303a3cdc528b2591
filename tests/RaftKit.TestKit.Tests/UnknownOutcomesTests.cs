namespace RaftKit.TestKit.Tests;

public sealed class UnknownOutcomesTests
{
    private readonly List<Written> _log = [];
    private readonly List<string> _violations = [];

    private static HistoryOperation Set(HistoryStatus status, string value = "v", string path = "/n") =>
        new() { Kind = HistoryKind.Set, Path = path, In = value, Status = status, Call = 10, Return = 20 };

    private IReadOnlyList<HistoryOperation> Resolve(params HistoryOperation[] history) => new UnknownOutcomes(
        (path, data) => [.. _log.Where(write => write.Path.StartsWith(path, StringComparison.Ordinal) && data == "v")], (number, _) =>
            _violations.Add($"{number}")).Resolve(history);

    [Fact]
    public void A_lost_answer_is_found_in_the_log_and_took_effect_before_anybody_applied_it()
    {
        _log.Add(new Written("/n", 7, 1000));
        var resolved = Assert.Single(Resolve(Set(HistoryStatus.Info)));
        Assert.Equal((HistoryStatus.Ok, 7, 1000), (resolved.Status, resolved.Zxid, resolved.Return));
        Assert.Empty(_violations);
    }

    [Fact]
    public void A_lost_write_that_nobody_applied_changed_nothing() =>
        Assert.Equal(HistoryStatus.Fail, Assert.Single(Resolve(Set(HistoryStatus.Info))).Status);

    [Fact]
    public void A_sequential_create_is_found_under_the_name_that_it_was_given()
    {
        _log.Add(new Written("/q/n-0000000003", 9, 1000));
        var create = Set(HistoryStatus.Info, path: "/q/n-") with { Kind = HistoryKind.Create, Sequential = true };
        Assert.Equal("/q/n-0000000003", Assert.Single(Resolve(create)).Out);
    }

    [Fact]
    public void What_two_clients_may_have_written_stays_unknown()
    {
        _log.Add(new Written("/n", 7, 1000));
        Assert.All(Resolve(Set(HistoryStatus.Info), Set(HistoryStatus.Info)), operation =>
            Assert.Equal(HistoryStatus.Info, operation.Status));
    }

    [Fact]
    public void A_part_of_a_multi_may_be_gone_with_the_next_so_that_it_stays_unknown()
    {
        var multi = new HistoryOperation
        {
            Kind = HistoryKind.Multi, Status = HistoryStatus.Info, Call = 10, Return = 20,
            Operations = [Set(HistoryStatus.Ok), new() { Kind = HistoryKind.Delete, Path = "/n" }],
        };
        Assert.Equal(HistoryStatus.Info, Assert.Single(Resolve(multi)).Status);
        _log.Add(new Written("/n", 7, 1000));
        Assert.Equal(HistoryStatus.Ok, Assert.Single(Resolve(multi)).Status);
    }

    [Fact]
    public void A_write_that_was_refused_and_applied_breaks_invariant_37()
    {
        _log.Add(new Written("/n", 7, 1000));
        Resolve(Set(HistoryStatus.Fail));
        Assert.Equal(["37"], _violations);
    }
}
