using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;

namespace RaftKit.Chaos.Network;

/// <summary>Stands between one member that dials and another, and passes on what each says when the weather allows.</summary>
internal sealed class Proxy : IAsyncDisposable
{
    private const int ChunkBytes = 16 << 10;
    private const int MostChunks = 256; // Then whoever sends must wait, as on a real path.

    private readonly HubSockets _sockets;
    private readonly Socket _listener;
    private readonly Weather _weather;
    private readonly IPEndPoint _from;
    private readonly IPEndPoint _to;
    private readonly CancellationTokenSource _end = new();
    private readonly ConcurrentDictionary<Socket, bool> _open = [];
    private readonly Task _accepting;
    private volatile bool _tearing;

    private Proxy(HubSockets sockets, Socket listener, int from, int to, Weather weather)
    {
        (_sockets, _listener, _weather) = (sockets, listener, weather);
        _from = new(IPAddress.Parse(MemberNetwork.Substitute(from)), 0);
        _to = new(IPAddress.Parse(MemberNetwork.Address(to)), MemberNetwork.Port);
        _accepting = AcceptAsync();
    }

    /// <summary>How many connections went through it.</summary>
    public int Connections { get; private set; }

    public int Port => ((IPEndPoint)_listener.LocalEndPoint!).Port;

    public static async Task<Proxy> ListenAsync(HubSockets sockets, int from, int to, Weather weather)
    {
        var listener = await sockets.MakeAsync();
        listener.Bind(new IPEndPoint(IPAddress.Parse(MemberNetwork.Hub), 0));
        listener.Listen();
        return new Proxy(sockets, listener, from, to, weather);
    }

    /// <summary>Resets every connection after some part of what is on its way.</summary>
    public void Tear() => _tearing = true;

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        _listener.Dispose();
        foreach (var socket in _open.Keys)
            Reset(socket);
        await _accepting;
        _end.Dispose();
    }

    private async Task AcceptAsync()
    {
        var passing = new List<Task>();
        try
        {
            while (true)
            {
                passing.Add(PassAsync(await _listener.AcceptAsync(_end.Token)));
                Connections++;
            }
        }
        catch (Exception failure) when (failure is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // It was disposed.
        }

        await Task.WhenAll(passing);
    }

    private async Task PassAsync(Socket dialler)
    {
        _open[dialler] = true;
        Socket? answerer = null;
        try
        {
            answerer = await _sockets.MakeAsync();
            _open[answerer] = true;
            answerer.Bind(_from);
            await answerer.ConnectAsync(_to, _end.Token);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(_end.Token);
            await Task.WhenAll(PassAsync(dialler, answerer, either), PassAsync(answerer, dialler, either));
        }
        catch (Exception failure) when (failure is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // One end is gone, so the other goes.
        }
        finally
        {
            Reset(dialler);
            if (answerer is not null)
                Reset(answerer);
        }
    }

    // One way; its end is the other way's.
    private async Task PassAsync(Socket from, Socket to, CancellationTokenSource either)
    {
        var underWay = Channel.CreateBounded<(long Due, byte[] Bytes)>(MostChunks);
        var delivering = DeliverAsync(underWay.Reader, to, either);
        try
        {
            var buffer = new byte[ChunkBytes];
            var last = 0L;
            while (await from.ReceiveAsync(buffer, either.Token) is > 0 and var count)
            {
                last = Math.Max(last, Stopwatch.GetTimestamp() + (long)(_weather.Draw().TotalSeconds * Stopwatch.Frequency));
                await underWay.Writer.WriteAsync((last, buffer[..count]), either.Token);
            }
        }
        finally
        {
            underWay.Writer.Complete();
        }

        await delivering;
    }

    private async Task DeliverAsync(ChannelReader<(long Due, byte[] Bytes)> underWay, Socket to, CancellationTokenSource either)
    {
        try
        {
            await foreach (var (due, bytes) in underWay.ReadAllAsync(either.Token))
            {
                await _weather.Flows.WaitAsync(either.Token);
                if (Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), due) is { Ticks: > 0 } left)
                    await Task.Delay(left, either.Token);
                var torn = _tearing;
                await SendAsync(to, torn ? bytes.AsMemory(0, _weather.Cut(bytes.Length)) : bytes, either.Token);
                if (torn)
                    return;
            }
        }
        finally
        {
            await either.CancelAsync();
        }
    }

    private static async Task SendAsync(Socket to, ReadOnlyMemory<byte> bytes, CancellationToken cancel)
    {
        while (bytes.Length > 0)
            bytes = bytes[await to.SendAsync(bytes, cancel)..];
    }

    private void Reset(Socket socket)
    {
        if (!_open.TryRemove(socket, out _))
            return;
        // A reset, not an end: that is what a path that breaks gives.
        socket.LingerState = new LingerOption(true, 0);
        socket.Dispose();
    }
}
