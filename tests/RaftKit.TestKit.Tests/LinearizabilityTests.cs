namespace RaftKit.TestKit.Tests;

public sealed class LinearizabilityTests
{
    [Fact]
    public void A_read_that_overlaps_a_write_may_see_either_value()
    {
        foreach (var seen in new[] { "a", "b" })
        {
            Assert.True(LinearizabilityChecker.CheckRegisters(
            [
                Create("/r", "a", 0, 10),
                Set("/r", "b", 20, 60),
                Get("/r", seen, 30, 50),
            ]).Holds);
        }
    }

    [Fact]
    public void A_read_must_not_miss_a_write_that_returned_before_it_was_called()
    {
        var result = LinearizabilityChecker.CheckRegisters([Create("/r", "a", 0, 10), Set("/r", "b", 20, 30), Get("/r", "a", 40, 50)]);

        Assert.False(result.Holds);
        Assert.Contains("/r", result.Explanation);
    }

    [Fact]
    public void Two_readers_must_not_see_two_writes_in_different_orders()
    {
        Assert.False(LinearizabilityChecker.CheckRegisters(
        [
            Create("/r", "a", 0, 10),
            Set("/r", "b", 20, 100),
            Set("/r", "c", 20, 100),
            Get("/r", "b", 30, 40, client: 3),
            Get("/r", "c", 50, 60, client: 3),
            Get("/r", "b", 70, 80, client: 4),
        ]).Holds);
    }

    [Fact]
    public void A_write_of_unknown_outcome_may_take_effect_later_or_never()
    {
        HistoryOperation[] history =
        [
            Create("/r", "a", 0, 10),
            Set("/r", "b", 20, 30) with { Status = HistoryStatus.Info, Version = null },
            Get("/r", "a", 40, 50),
        ];
        Assert.True(LinearizabilityChecker.CheckRegisters(history).Holds);
        Assert.True(LinearizabilityChecker.CheckRegisters([.. history, Get("/r", "b", 60, 70)]).Holds);
        Assert.False(LinearizabilityChecker.CheckRegisters([.. history, Get("/r", "b", 60, 70), Get("/r", "a", 80, 90)]).Holds);
    }

    [Fact]
    public void Two_compare_and_sets_on_one_version_must_not_both_succeed()
    {
        Assert.False(LinearizabilityChecker.CheckRegisters(
        [
            Create("/r", "a", 0, 10),
            Set("/r", "b", 20, 100) with { ExpectedVersion = 0, Version = 1 },
            Set("/r", "c", 20, 100) with { ExpectedVersion = 0, Version = 1 },
        ]).Holds);
    }

    [Fact]
    public void An_ephemeral_may_vanish_and_a_persistent_znode_may_not()
    {
        var gone = Get("/r", null, 20, 30);
        Assert.True(LinearizabilityChecker.CheckRegisters([Create("/r", "a", 0, 10) with { Owner = 7 }, gone]).Holds);
        Assert.False(LinearizabilityChecker.CheckRegisters([Create("/r", "a", 0, 10), gone]).Holds);
    }

    [Fact]
    public void Hundreds_of_overlapping_writes_with_one_lost_update_are_found_out()
    {
        var history = new List<HistoryOperation> { Create("/r", "0", 0, 1) };
        for (var i = 1; i <= 400; i++)
            history.Add(Set("/r", $"{i}", i * 10, (i * 10) + 35, client: i % 4) with { Version = i });
        Assert.True(LinearizabilityChecker.CheckRegisters(history).Holds);

        history.Add(Set("/r", "again", 2005, 2010, client: 9) with { Version = 200 });
        Assert.False(LinearizabilityChecker.CheckRegisters(history).Holds);
    }

    [Fact]
    public void The_order_of_zxids_must_agree_with_real_time()
    {
        var result = LinearizabilityChecker.ReplayByZxid(
            [Create("/r", "a", 0, 10, zxid: 5), Create("/s", "a", 20, 30, zxid: 4)]);

        Assert.False(result.Holds);
        Assert.Contains("zxid is lower", result.Explanation);
    }

    [Fact]
    public void A_session_must_not_go_back_to_an_older_state()
    {
        Assert.False(LinearizabilityChecker.ReplayByZxid(
        [
            Create("/r", "a", 0, 10, zxid: 1),
            Set("/r", "b", 11, 12, zxid: 2),
            Get("/r", "b", 20, 100, zxid: 2) with { Session = 9 },
            Get("/r", "a", 150, 160, zxid: 1) with { Session = 9 },
        ]).Holds);
    }

    [Fact]
    public void A_multi_takes_effect_as_a_whole()
    {
        var multi = new HistoryOperation
        {
            Kind = HistoryKind.Multi, Call = 20, Return = 30, Zxid = 2,
            Operations = [Set("/r", "b", 0, 0) with { Version = 1 }, Create("/s", "x", 0, 0)],
        };
        Assert.True(LinearizabilityChecker.Check([Create("/r", "a", 0, 10, zxid: 1), multi, Get("/s", "x", 40, 50, zxid: 2)]).Holds);
        Assert.False(LinearizabilityChecker.Check([Create("/r", "a", 0, 10, zxid: 1), multi, Get("/r", "a", 40, 50, zxid: 2)]).Holds);
        Assert.False(LinearizabilityChecker.Check(
            [Create("/r", "a", 0, 10, zxid: 1), multi with { Error = "NODEEXISTS", Status = HistoryStatus.Fail }]).Holds);
    }

    [Fact]
    public void Deletes_and_expiries_without_a_zxid_are_placed_where_they_explain_what_follows()
    {
        HistoryOperation[] history =
        [
            Create("/r", "a", 0, 10, zxid: 1),
            new() { Kind = HistoryKind.Delete, Path = "/r", Call = 20, Return = 60 },
            Create("/r", "b", 30, 40, zxid: 3),
            Create("/e", "a", 50, 60, zxid: 4) with { Owner = 7 },
            Create("/e", "b", 70, 80, zxid: 9) with { Owner = 8 },
            Get("/r", "b", 90, 95, zxid: 9),
        ];
        Assert.True(LinearizabilityChecker.Check(history).Holds);
        Assert.False(LinearizabilityChecker.Check([.. history.Where(o => o.Kind != HistoryKind.Delete)]).Holds);
        Assert.False(LinearizabilityChecker.Check([.. history.Select(o => o.Path == "/e" ? o with { Owner = 0 } : o)]).Holds);
    }

    [Fact]
    public void A_deletion_of_a_version_that_only_an_unknown_write_can_have_made_proves_that_write()
    {
        HistoryOperation[] history =
        [
            Create("/r", "a", 0, 10, zxid: 1),
            Set("/r", "b", 20, 30) with { Status = HistoryStatus.Info, ExpectedVersion = 0 },
            new() { Kind = HistoryKind.Delete, Path = "/r", ExpectedVersion = 1, Call = 40, Return = 50 },
            Create("/r", "c", 60, 70, zxid: 9),
        ];
        Assert.True(LinearizabilityChecker.Check(history).Holds);
        Assert.False(LinearizabilityChecker.Check([.. history.Where(o => o.Status != HistoryStatus.Info)]).Holds);
    }

    [Fact]
    public void A_version_tells_how_many_writes_of_unknown_outcome_were_applied_before_it()
    {
        HistoryOperation[] history =
        [
            Create("/r", "a", 0, 10, zxid: 1),
            .. Enumerable.Range(1, 12).Select(
                i => Set("/r", $"lost {i}", 10 + i, 11 + i) with { Status = HistoryStatus.Info, Version = null, ExpectedVersion = -1 }),
            Set("/r", "b", 40, 50) with { Version = 9, Zxid = 20, ExpectedVersion = -1 },
        ];
        var few = LinearizabilityChecker.ReplayByZxid(history, maxSteps: 1_000);
        Assert.True(few.Holds && few.Decided, few.Explanation);

        // Thirteen versions cannot have come of twelve writes.
        var many = LinearizabilityChecker.ReplayByZxid([.. history[..^1], history[^1] with { Version = 14 }], maxSteps: 1_000);
        Assert.False(many.Holds && many.Decided);
    }

    [Fact]
    public void Sequence_numbers_count_every_child_that_was_ever_created()
    {
        HistoryOperation[] history =
        [
            Create("/q", "", 0, 1, zxid: 1),
            Create("/q/a", "", 2, 3, zxid: 2),
            new() { Kind = HistoryKind.Create, Path = "/q/n-", Sequential = true, Out = "/q/n-0000000001", Call = 4, Return = 5, Zxid = 3 },
            new() { Kind = HistoryKind.Children, Path = "/q", Children = ["a", "n-0000000001"], Call = 6, Return = 7, Zxid = 3 },
        ];
        Assert.True(LinearizabilityChecker.Check(history).Holds);
        Assert.False(LinearizabilityChecker.Check([.. history.Where(o => o.Path != "/q/a")]).Holds);
    }

    [Fact]
    public void A_history_reads_back_as_it_was_written()
    {
        HistoryOperation[] history =
        [
            Create("/r", "ä \"quoted\"", 1, 2, zxid: 1L << 48) with { Client = 3, Session = -7, Owner = 9 },
            Get("/r", null, 3, 4) with { Exists = false },
            Set("/r", "b", 5, 6) with { Status = HistoryStatus.Fail, Error = "BADVERSION", ExpectedVersion = 4, Version = null },
            new() { Kind = HistoryKind.Children, Path = "/", Children = ["a", "b"] },
            new() { Kind = HistoryKind.Multi,
                Operations = [Create("/m", "1", 0, 0), new() { Kind = HistoryKind.Check, Path = "/r", ExpectedVersion = 2 }] },
            new() { Kind = HistoryKind.CloseSession, Owner = 9, Status = HistoryStatus.Info },
            new() { Kind = HistoryKind.Sync, Zxid = 8 },
        ];
        var file = Path.GetTempFileName();
        try
        {
            using (var writer = new HistoryWriter(file))
                Array.ForEach(history, writer.Write);
            Assert.Equal(history.Select(o => o.ToString()), HistoryReader.Read(file).Select(o => o.ToString()));
            Assert.Contains("""{"client":3,"session":-7,"call":1,"ret":2,"status":"ok","op":"create","path":"/r",""", File.ReadLines(file).First());

            File.AppendAllText(file, "{\"op\":\"fly\"}\n");
            Assert.Contains("line 8", Assert.Throws<FormatException>(() => HistoryReader.Read(file).Count()).Message);
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static HistoryOperation Create(string path, string data, long call, long ret, long zxid = 0) =>
        new() { Kind = HistoryKind.Create, Path = path, In = data, Out = path, Call = call, Return = ret, Zxid = zxid };

    private static HistoryOperation Set(string path, string data, long call, long ret, int client = 1, long zxid = 0) =>
        new() { Kind = HistoryKind.Set, Path = path, In = data, Call = call, Return = ret, Client = client, Zxid = zxid };

    private static HistoryOperation Get(string path, string? data, long call, long ret, int client = 2, long zxid = 0) =>
        new() { Kind = HistoryKind.Get, Path = path, Out = data, Call = call, Return = ret, Client = client, Zxid = zxid };
}
