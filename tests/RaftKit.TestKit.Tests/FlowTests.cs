using System.Reflection;
using RaftKit.Consensus;
using RaftKit.Znodes;
using RaftKit.Znodes.History;

namespace RaftKit.TestKit.Tests;

/// <summary>Flow control over a long time: what waits for a member that is down is bounded, in memory and on the disk.</summary>
public sealed class FlowTests
{
    private static readonly TimeSpan Soon = TimeSpan.FromMinutes(10);

    [Fact]
    public void Nothing_that_a_leader_holds_grows_while_a_member_is_down_for_a_simulated_day()
    {
        // Ticks are slow, or a day would be many millions of them.
        var cluster = new SimulatedCluster(
            new SimulatedClusterOptions { TickInterval = TimeSpan.FromMilliseconds(500), SessionTimeout = TimeSpan.FromMinutes(3) });
        cluster.StartAll();
        Assert.True(
            cluster.RunUntil(() => !cluster.Leader.IsNone && cluster.Members.All(m => cluster.StatusOf(m) is { Ready: true }), Soon));
        var leader = cluster.Leader;
        var (follower, down) = (cluster.Members.First(m => m != leader), cluster.Members.Last(m => m != leader));
        var sessions = new[] { leader, follower }.Select(m => cluster.Run(m, host => Begin(host, $"/of-{m}"), Soon)).ToList();
        cluster.Kill(down);

        var held = new List<long>();
        var stored = new List<long>();
        for (var hour = 1; hour <= 24; hour++)
        {
            for (var write = 0; write < 1200; write++)
            {
                var which = write % 2;
                cluster.Run(
                    which == 0 ? leader : follower, _ =>
                    sessions[which].SetAsync($"/of-{(which == 0 ? leader : follower)}", new byte[100]), Soon);
                cluster.RunFor(TimeSpan.FromSeconds(3));
            }
            Assert.Equal(leader, cluster.Leader);
            var member = cluster.MemberOf(leader);
            var core = member.Loop!.Core!;
            // Snapshots are taken every 500 entries, and 50 are kept behind them.
            Assert.InRange(core.LastIndex - core.FirstIndex, 0, 1_500);
            Assert.InRange(core.LastIndex - core.Log.FirstInMemory, -1, 1_500);
            held.Add(Held.By(member.Run!.Loop, member.Run.Application));
            stored.Add(member.Disk.List().Sum(name => LengthOf(member.Disk, name)));
        }

        // It took more than all that is kept: what is flat now stays so.
        Assert.True(cluster.StatusOf(leader)!.Applied.Value > 25_000);
        Assert.True(held.Skip(4).Max() <= held.Take(4).Max() * 1.02, $"held, by the hour: {string.Join(", ", held)}");
        Assert.True(stored.Skip(4).Max() <= stored.Take(4).Max() * 1.25, $"stored, by the hour: {string.Join(", ", stored)}");

        cluster.Start(down);
        Assert.True(
            cluster.RunUntil(
                () => cluster.StatusOf(down) is { Ready: true } status && status.Applied == cluster.StatusOf(leader)!.Applied, Soon));
    }

    private static async Task<IZnodeSession> Begin(SimulatedHost host, string path)
    {
        var session = host.Sessions.Open();
        await session.CreateAsync(path);
        return session;
    }

    private static long LengthOf(SimulatedDisk disk, string name)
    {
        using var file = disk.Open(name);
        return file.Length;
    }

    /// <summary>
    /// Counts the elements of every array that hangs on an object: whatever waits, or is remembered, stands in one, under whatever name.
    /// </summary>
    private static class Held
    {
        private const BindingFlags Own = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;
        private static readonly Dictionary<Type, FieldInfo[]> Fields = [];

        public static long By(params object[] roots)
        {
            var seen = new HashSet<object>(ReferenceEqualityComparer.Instance);
            var next = new Stack<object>(roots);
            long elements = 0;
            while (next.TryPop(out var one))
            {
                if (!one.GetType().IsValueType && !seen.Add(one))
                    continue;
                if (one is Array array)
                {
                    elements += array.Length;
                    if (FieldsOf(array.GetType().GetElementType()!) is { Length: 0 } && array.GetType().GetElementType()!.IsValueType)
                        continue;
                    foreach (var item in array)
                        Push(item);
                    continue;
                }
                foreach (var field in FieldsOf(one.GetType()))
                    Push(field.GetValue(one));
            }
            return elements;

            void Push(object? value)
            {
                if (value is not null && !IsOutside(value, roots))
                    next.Push(value);
            }
        }

        // Time, network, disk and all that the simulator remembers of the day is not the member's. The journal is bounded by what a day
        // here does not fill.
        private static bool IsOutside(object value, object[] roots) =>
            value is Delegate or Type or string or ChangeJournal or Thread or SynchronizationContext or MemberInfo
            || value.GetType().IsPrimitive || value.GetType().IsEnum
            || (value.GetType().Assembly == typeof(SimulatedCluster).Assembly && !roots.Contains(value)
                && value.GetType().Name != "Listener");

        private static FieldInfo[] FieldsOf(Type type)
        {
            if (Fields.TryGetValue(type, out var known))
                return known;
            var fields = new List<FieldInfo>();
            for (var at = type; at is not null && at != typeof(object) && at != typeof(ValueType); at = at.BaseType)
                fields.AddRange(
                    at.GetFields(Own).Where(
                        f => !f.FieldType.IsPrimitive && !f.FieldType.IsEnum && !f.FieldType.IsPointer
                        && !typeof(Delegate).IsAssignableFrom(f.FieldType)));
            return Fields[type] = [.. fields];
        }
    }
}
