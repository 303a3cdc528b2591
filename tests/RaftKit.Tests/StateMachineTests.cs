using System.Buffers;
using System.Buffers.Binary;
using HouseTests;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;
using Xunit;

namespace RaftKit.Tests;

/// <summary>A state machine of the application's own, in the real node on a real disk.</summary>
public sealed class StateMachineTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task It_is_found_by_its_type_counts_every_command_once_and_remembers_over_a_restart()
    {
        await RunAsync(services => services.AddRaftKit().AddStateMachine<Counter>(), async services =>
        {
            var counter = services.GetRequiredService<IReplicated<Counter>>();
            var answers = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => counter.ProposeAsync("+"u8.ToArray()))).WaitAsync(
                Patience);
            Assert.Equal(Enumerable.Range(1, 50).Select(n => (long)n), answers.Select(a => BinaryPrimitives.ReadInt64LittleEndian(a.Span)));
            Assert.Equal(50, await counter.ReadLocalAsync(c => c.Count).WaitAsync(Patience));
        });
        await RunAsync(services => services.AddRaftKit().AddStateMachine(_ => new Counter()), async services =>
            Assert.Equal(50, await services.GetRequiredService<IReplicated<Counter>>().ReadAsync(c => c.Count).WaitAsync(Patience)));
    }

    [Fact]
    public async Task What_is_asked_before_the_start_waits_and_what_is_asked_after_the_stop_is_refused()
    {
        using var host = Build(services => services.AddRaftKit().AddStateMachine<Counter>());
        var counter = host.Services.GetRequiredService<IReplicated<Counter>>();
        var early = counter.ProposeAsync("+"u8.ToArray());
        Assert.False(early.IsCompleted);

        await host.StartAsync().WaitAsync(Patience);
        Assert.Equal(1, BinaryPrimitives.ReadInt64LittleEndian((await early.WaitAsync(Patience)).Span));
        await host.StopAsync().WaitAsync(Patience);

        await Assert.ThrowsAsync<NotAppliedException>(() => counter.ProposeAsync("+"u8.ToArray()).WaitAsync(Patience));
        await Assert.ThrowsAsync<NotAppliedException>(() => counter.ReadAsync(c => c.Count).WaitAsync(Patience));
    }

    [Fact]
    public async Task Clusters_with_keys_have_machines_of_their_own()
    {
        await RunAsync(
            services =>
            {
                services.AddKeyedRaftKit("one", o => o.DataDirectory = "one").AddStateMachine<Counter>();
                services.AddKeyedRaftKit("two", o => (o.DataDirectory, o.Members["1"]) = ("two", "127.0.0.1:0")).AddStateMachine<Counter>();
            },
            async services =>
            {
                await services.GetRequiredKeyedService<IReplicated<Counter>>("one").ProposeAsync("+"u8.ToArray()).WaitAsync(Patience);
                Assert.Equal(
                    1, await services.GetRequiredKeyedService<IReplicated<Counter>>("one").ReadAsync(c => c.Count).WaitAsync(Patience));
                Assert.Equal(
                    0, await services.GetRequiredKeyedService<IReplicated<Counter>>("two").ReadAsync(c => c.Count).WaitAsync(Patience));
            });
    }

    [Fact]
    public async Task A_command_that_is_too_long_and_a_wait_that_is_cancelled_say_so()
    {
        await RunAsync(services => services.AddRaftKit().AddStateMachine<Counter>(), async services =>
        {
            var counter = services.GetRequiredService<IReplicated<Counter>>();
            var e = await Assert.ThrowsAsync<ArgumentException>(() => counter.ProposeAsync(new byte[(1 << 20) + 1]));
            Assert.Contains("1048577 bytes", e.Message);
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() =>
                counter.ReadAsync(c => c.Count, new CancellationToken(canceled: true)));
            Assert.Equal(0, await counter.ReadAsync(c => c.Count).WaitAsync(Patience));
        });
    }

    [Fact]
    public void The_same_type_twice_in_a_cluster_is_refused()
    {
        var builder = new ServiceCollection().AddRaftKit().AddStateMachine<Counter>();
        Assert.Contains("Counter", Assert.Throws<InvalidOperationException>(() => builder.AddStateMachine<Counter>()).Message);
    }

    private async Task RunAsync(Action<IServiceCollection> configure, Func<IServiceProvider, Task> use)
    {
        using var host = Build(configure);
        await host.StartAsync().WaitAsync(Patience);
        await use(host.Services);
        await host.StopAsync().WaitAsync(Patience);
    }

    private IHost Build(Action<IServiceCollection> configure)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { ContentRootPath = _folder.Path });
        configure(builder.Services);
        return builder.Build();
    }

    private sealed class Counter : IStateMachine
    {
        public string Name => "counter";

        public long Count { get; private set; }

        public void Apply(in CommandContext context, ReadOnlyMemory<byte> command, IBufferWriter<byte> result) => Write(++Count, result);

        public ISnapshotCapture Capture() => new Frame(Count);

        public IStateRestorer BeginRestore() => new Restorer(this);

        private static void Write(long count, IBufferWriter<byte> into)
        {
            BinaryPrimitives.WriteInt64LittleEndian(into.GetSpan(8), count);
            into.Advance(8);
        }

        private sealed class Frame(long count) : ISnapshotCapture
        {
            public bool WriteSlice(IBufferWriter<byte> frame)
            {
                Write(count, frame);
                return false;
            }

            public void Dispose()
            {
                // Nothing is held.
            }
        }

        private sealed class Restorer(Counter counter) : IStateRestorer
        {
            private long _count;

            public void Frame(ReadOnlyMemory<byte> frame) => _count = BinaryPrimitives.ReadInt64LittleEndian(frame.Span);

            public void Complete(in CommandContext context) => counter.Count = _count;
        }
    }
}
